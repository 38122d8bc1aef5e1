"""Push a folder with a FastAPI router to git; seconds later it is a live, tested service."""

__version__ = "0.1.0"
