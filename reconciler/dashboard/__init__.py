"""What people see in a browser: pages made from the status models, and the few files that these need.

Knows nothing of HTTP, of who asks, or of where the facts come from: `reconciler.api.dashboard` asks and serves.
"""
