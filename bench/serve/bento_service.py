"""The same model behind BentoML."""

import bentoml


@bentoml.service
class Hello:
    @bentoml.api(route="/predictions")
    def predict(self, input: dict) -> dict:
        return {"output": "hello " + input["text"]}
