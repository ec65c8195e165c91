"""The models of an image: one, or several and pipelines of them, as ``models.json`` says."""
