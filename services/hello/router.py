"""Greets. The smallest service there can be: one router, nothing else."""

from fastapi import APIRouter

router = APIRouter()


@router.get("/")
def greet(name: str = "world") -> dict[str, str]:
    return {"message": f"Hello, {name}!"}
