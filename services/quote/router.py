"""Works out an offer. The arithmetic of money is not its own: it lives in `shared/`, which the manifest watches."""

import os
from decimal import Decimal
from functools import reduce
from operator import add

from fastapi import APIRouter
from pydantic import BaseModel, Field

from shared.money import Money

router = APIRouter()
VAT = Decimal(os.environ.get("VAT", "0.21"))


class Line(BaseModel):
    title: str
    quantity: int = Field(gt=0)
    cents: int = Field(ge=0, description="price of one")


class Offer(BaseModel):
    net: str
    vat: str
    total: str


@router.post("/offers")
def offer(lines: list[Line]) -> Offer:
    net = reduce(add, (Money(line.quantity * line.cents) for line in lines), Money(0))
    vat = net.times(VAT)
    return Offer(net=str(net), vat=str(vat), total=str(net + vat))
