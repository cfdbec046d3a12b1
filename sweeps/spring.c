/* A simulator as people have them: it reads an input deck, integrates a damped spring, and prints how far its motion is
   from a measured one. Compile it with `cc -O2 -o spring spring.c -lm`; spring.py computes the same. */
#include <math.h>
#include <stdio.h>

int main(int argc, char **argv) {
    double stiffness = -1, damping = -1, position = 1, velocity = 0, total = 0, step = 1e-3;
    char line[200];
    FILE *deck = argc > 1 ? fopen(argv[1], "r") : NULL;
    if (!deck) {
        fprintf(stderr, "usage: spring DECK\n");
        return 2;
    }
    while (fgets(line, sizeof line, deck)) {
        sscanf(line, "stiffness = %lf", &stiffness);
        sscanf(line, "damping = %lf", &damping);
    }
    fclose(deck);
    if (stiffness <= 0 || damping < 0 || damping * damping > 4 * stiffness) {
        fprintf(stderr, "no oscillation with stiffness %g and damping %g\n", stiffness, damping);
        return 3;
    }
    for (int n = 0; n < 10000; n++) {
        double t = n * step, measured = exp(-0.15 * t) * cos(1.9943670675 * t);
        total += (position - measured) * (position - measured);
        velocity += step * (-stiffness * position - damping * velocity);
        position += step * velocity;
    }
    printf("steps = 10000\nrms = %.12e\n", sqrt(total / 10000));
    return 0;
}
