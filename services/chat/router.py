"""Rooms to talk in over WebSockets, with a page to try it in a browser.

What was said lives in the memory of one process: good for as long as a release lives, and no longer.
"""

from collections import defaultdict, deque
from pathlib import Path

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

router = APIRouter()
PAGE = Path(__file__).with_name("page.html").read_text()


class Message(BaseModel):
    author: str = Field(min_length=1, max_length=40)
    text: str = Field(min_length=1, max_length=2000)


class Room:
    def __init__(self) -> None:
        self.members: set[WebSocket] = set()
        self.said: deque[Message] = deque(maxlen=50)

    async def say(self, message: Message) -> None:
        self.said.append(message)
        for member in tuple(self.members):
            try:
                await member.send_json(message.model_dump())
            except (WebSocketDisconnect, RuntimeError):
                self.members.discard(member)


rooms: defaultdict[str, Room] = defaultdict(Room)


@router.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


@router.get("/rooms/{name}/messages")
def messages(name: str) -> list[Message]:
    return list(rooms[name].said) if name in rooms else []


@router.post("/rooms/{name}/messages", status_code=201)
async def say(name: str, message: Message) -> Message:
    await rooms[name].say(message)
    return message


@router.websocket("/rooms/{name}")
async def join(socket: WebSocket, name: str, author: str = "somebody") -> None:
    room = rooms[name]
    await socket.accept()
    room.members.add(socket)
    try:
        while True:
            text = await socket.receive_text()
            if text.strip():
                await room.say(Message(author=author[:40] or "somebody", text=text[:2000]))
    except WebSocketDisconnect:
        pass
    finally:
        room.members.discard(socket)
