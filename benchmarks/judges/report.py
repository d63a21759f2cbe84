"""placeholder"""


def write(out): ...
