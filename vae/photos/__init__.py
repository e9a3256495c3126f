"""Photos of people: find, refine, blend."""
