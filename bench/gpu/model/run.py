import time

import torch
from cog import BaseRunner, Input


class Runner(BaseRunner):
    def setup(self) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.weights = torch.ones(8192, 8192, device=self.device, dtype=torch.bfloat16)

    def run(
        self,
        size: int = Input(description="Rows and columns of the matrices", default=1024, ge=1, le=16384),
        gigabytes: int = Input(description="Memory of the device to ask for first", default=0, ge=0),
    ) -> dict:
        if gigabytes:
            taken = torch.empty(gigabytes << 30, dtype=torch.uint8, device=self.device)
            del taken
        began = time.perf_counter()
        ones = torch.ones(size, size, device=self.device)
        corner = float((ones @ ones)[-1, -1])
        name = torch.cuda.get_device_name() if self.device == "cuda" else "none"
        return {
            "device": name,
            "count": torch.cuda.device_count(),
            "corner": corner,
            "milliseconds": round((time.perf_counter() - began) * 1000, 1),
            "torch": torch.__version__,
            "architectures": torch.cuda.get_arch_list(),
        }
