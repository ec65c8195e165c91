import torch
from cog import BasePredictor, Input


class Predictor(BasePredictor):
    def setup(self) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    def predict(
        self,
        size: int = Input(description="Rows and columns of the matrices", default=256, ge=1, le=8192),
        seed: int = Input(description="Seed of the random numbers", default=0),
    ) -> dict:
        generator = torch.Generator(device=self.device).manual_seed(seed)
        left = torch.rand(size, size, generator=generator, device=self.device)
        right = torch.rand(size, size, generator=generator, device=self.device)
        product = left @ right
        return {"device": self.device, "mean": round(product.mean().item(), 4), "torch": torch.__version__}
