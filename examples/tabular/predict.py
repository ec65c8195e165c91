import json
from typing import Any

import numpy as np
import pandas as pd
from cog import BasePredictor, Input
from sklearn.linear_model import LogisticRegression


class Predictor(BasePredictor):
    def setup(self) -> None:
        with open("model.json") as file:
            parameters = json.load(file)
        self.columns = parameters["columns"]
        self.model = LogisticRegression()
        self.model.classes_ = np.array([0, 1])
        self.model.coef_ = np.array([parameters["coefficients"]])
        self.model.intercept_ = np.array([parameters["intercept"]])

    def predict(
        self,
        rows: list[dict] = Input(description="Rows with the columns age, income and visits"),
        threshold: float = Input(description="Probability from which a row counts as positive", default=0.5, ge=0, le=1),
    ) -> dict[str, Any]:
        table = pd.DataFrame(rows)
        missing = [column for column in self.columns if column not in table]
        if missing:
            raise ValueError(f"Columns missing: {', '.join(missing)}")
        probabilities = self.model.predict_proba(table[self.columns].to_numpy(dtype=float))[:, 1]
        return {
            "count": len(table),
            "positive": int((probabilities >= threshold).sum()),
            "probabilities": [round(float(value), 4) for value in probabilities],
        }
