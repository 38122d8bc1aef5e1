"""What the product promises in figures, measured against what people use today.

Every module has a `run()` that gives figures. Sides are interleaved in one run and compared by medians, so that
a busy machine slows both; figures are ratios wherever the machine would otherwise decide.
"""
