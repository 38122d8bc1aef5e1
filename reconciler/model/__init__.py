"""Values and pure functions: what the product is about, without touching the world.

Nothing here reads a file, a clock, a socket or the environment. Whatever decides lives here;
whatever acts lives in the packages above.
"""
