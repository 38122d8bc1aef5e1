from reconciler.suite.reading import Fragment, Reading


def read_http(content: bytes, file: str, reading: Reading) -> Fragment:
    return Fragment()
