"""The same model behind FastAPI, as its documentation writes it."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Input(BaseModel):
    text: str


class Request(BaseModel):
    input: Input


class Response(BaseModel):
    output: str


@app.post("/predictions")
async def predict(request: Request) -> Response:
    return Response(output="hello " + request.input.text)
