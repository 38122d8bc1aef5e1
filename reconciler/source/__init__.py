"""Git in: the mirror of what is followed, and its trees read without a checkout.

The network is the git program's business, in a process of its own with fixed options; what was fetched is
read here as data, validated entry by entry, and written by us. Refuses to decide anything: that a folder
is gone, is broken or is huge are facts for whoever plans.
"""
