"""The Lab page: what a model can do, tried against classical methods on the visitor's own pictures."""
