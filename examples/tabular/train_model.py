"""Makes `model.json`, the model that `predict.py` loads: a logistic regression on a small synthetic table.

The data are drawn with a fixed seed, so that the same versions give the same file. JSON instead of a pickle: a model
file is data, and loading it should not be able to run code.
"""

import json

import numpy as np
from sklearn.linear_model import LogisticRegression

COLUMNS = ["age", "income", "visits"]


def main() -> None:
    random = np.random.default_rng(7)
    table = np.column_stack([random.uniform(18, 90, 400), random.normal(40, 12, 400), random.poisson(3, 400)])
    score = 0.05 * (table[:, 0] - 50) + 0.08 * (table[:, 1] - 40) + 0.6 * (table[:, 2] - 3)
    labels = (score + random.normal(0, 0.5, 400) > 0).astype(int)
    model = LogisticRegression(max_iter=1000).fit(table, labels)
    with open("model.json", "w") as file:
        json.dump(
            {"columns": COLUMNS, "coefficients": model.coef_[0].tolist(), "intercept": float(model.intercept_[0])},
            file,
            indent=2,
        )


if __name__ == "__main__":
    main()
