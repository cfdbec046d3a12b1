"""Update rules, one a file: how a step follows from the gradient. To add one, add its file and its name here.

A rule is two pure functions of flat float64 arrays, with the conventions of torch.optim:

    init(x) -> state                                        state before the first step, arrays or numbers by name
    update(x, gradient, state, rate, **options) -> x, state     point and state after a step

A rule of the user's is a module or object with both, or the function `update` alone, whose state begins empty.
"""

RULES = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
"""Names of the rules, each that of a module in this folder."""
