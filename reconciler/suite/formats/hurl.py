from reconciler.suite.reading import Fragment, Reading


def read_hurl(content: bytes, file: str, reading: Reading) -> Fragment:
    return Fragment()
