"""Pipelines: several models, one prediction.

``plan`` is what a pipeline does, ``references`` the values that go from step to step, ``run`` one prediction's way
through the steps, ``workspace`` its files, and ``engine`` takes predictions as a model's engine does.
"""
