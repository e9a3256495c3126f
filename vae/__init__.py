"""Variational autoencoders you can hold in your hand: train one, open it, drag its latent space."""

__version__ = "1.0.0"
