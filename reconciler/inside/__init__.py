"""What runs in a service's own process: the fork server, the worker, its connections and its output.

Everything here is executed by the Python of a service's environment, beside whatever that service pinned. So it
imports the standard library and the environment's own uvicorn, fastapi, starlette, httptools, uvloop and websockets,
and nothing else of ours; modules find one another by relative imports, because the folder is loaded under a private
name. `head`, `passing`, `output` and `redaction` are also used by the gateway and the control process, so that both
sides share one definition.
"""
