"""The data plane: accept, peek, route, hand the connection over.

It runs in a process of its own and goes on when the control process is stuck or gone. It knows routes and connections;
it refuses to know git, manifests, FastAPI, or what a request means beyond its head.
"""
