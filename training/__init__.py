"""Retraining: arms, trainer, evaluation, comparison, gate, registry, and the demo's own encoder."""
