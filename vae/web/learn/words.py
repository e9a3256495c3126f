"""The glossary of the Learn page: a word, what else it is written as in the text, and what it means."""

from __future__ import annotations

WORDS = {
    "autoencoder": "Two networks in a row: one squeezes a picture into a few numbers, the other draws it again from them.",
    "encoder": "The half that turns a picture into its code.",
    "decoder": "The half that turns a code into a picture.",
    "bottleneck": "The narrow place in the middle: fewer numbers than the picture has pixels, so only what matters fits.",
    "code": "The few numbers that stand for one picture. Also called latent vector, or z.",
    "latent space": "The space of all codes. Each place in it is a picture, if the decoder can draw it.",
    "loss": "One number that says how badly a model does. Training makes it small.",
    "variational autoencoder": "An autoencoder that gives each picture a cloud of codes, not a point, and keeps the clouds near zero.",
    "prior": "Where codes are expected before any picture is seen: the unit Gaussian, round and centred at zero.",
    "posterior": "Where codes are expected for one picture: a Gaussian with the mean mu and the width sigma.",
    "KL": "The Kullback-Leibler divergence: how much a picture's cloud differs from the prior, in nats.",
    "nat": "A unit of information, 1.44 bits.",
    "beta": "How much the second wish weighs against the first.",
    "collapsed": "A number of the code that says next to nothing about the picture: its cloud is the prior itself.",
    "reparameterisation trick": "Writing a random draw as mu + sigma times eps, so that slopes can pass by the die.",
    "gradient": "How much the loss changes when a number is moved a little; training follows it downhill.",
    "temperature": "How far draws may go: 0 is the average picture, 1 is a full draw from the prior.",
    "direction": "An arrow in the space of codes; moving along it changes one thing in the picture more than others.",
    "level": "A stage of the decoder, from coarse (pose, shape) to fine (colour, texture).",
    "silhouette": "How well groups are apart, from -1 to 1; above 0 a point is nearer to its own group than to others.",
}
