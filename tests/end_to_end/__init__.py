"""The whole product through its front door: a real repository, the real command, real clients."""
