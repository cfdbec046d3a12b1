"""How well boosted trees tell malignant from benign tumours: a cross-validated loss over the model's own settings."""

from functools import cache
from typing import Any

try:
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import accuracy_score, log_loss
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
except ModuleNotFoundError as error:
    raise ImportError(
        f"{error}; this sweep wants scikit-learn: uv sync --extra sklearn in optitrip's clone, or the extra "
        "optitrip[sklearn] elsewhere"
    ) from None


@cache
def data() -> tuple[Any, Any]:
    """30 figures and a label for each of 569 tumours, which come with scikit-learn; read once a process."""
    return load_breast_cancer(return_X_y=True)


def loss(rate: float, depth: int, boosting: str) -> dict[str, float]:
    """Log loss and accuracy over four quarters of the data, each predicted by a model of the other three.

    The folds and the trees have seeds of their own, so that this is a function of its arguments. One thread each:
    the candidates are what runs in parallel.
    """
    figures, labels = data()
    model = GradientBoostingClassifier(
        loss=boosting, learning_rate=rate, max_depth=depth, n_estimators=40, max_features="sqrt", random_state=0
    )
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    chances = cross_val_predict(model, figures, labels, cv=folds, method="predict_proba", n_jobs=None)
    return {
        "loss": float(log_loss(labels, chances)),
        "accuracy": float(accuracy_score(labels, chances.argmax(axis=1))),
    }
