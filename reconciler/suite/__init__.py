"""Playing suites: what is declared becomes requests to a candidate's private socket, and a verdict.

`load` reads, `play` asks, `report` shows. Refuses to know where files come from, what a worker is, or what a
verdict is good for; control knows that.
"""
