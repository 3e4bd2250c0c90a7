"""Rate and distortion as an SVG without anything from outside: above, the NMSE against the bits; below, how far each
codec is from Shannon's bound.  Light or dark as the reader's system is."""

import math

WIDTH, HEIGHT = 960, 640
LEFT, GAP, PANEL = 66, 62, 400  # of a column's axis, between columns, a column's width
UPPER, LOWER = (96, 330), (420, 590)  # top and bottom of the rows
BITS = (0.05, 9.0)
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8)
NMSE_DB, GAP_DB = (-50, 0), (0, 9)
NAMES = {"ec": "ec: uniform, rANS", "tcq": "tcq: trellis, rANS", "eden": "eden: rotated, unbiased",
         "int": "int4, int8: blocks of 64, unbiased"}
TITLES = {"normal": "normal values", "laplace": "Laplace values"}

STYLE = """
svg{background:#fcfcfb;font:13px system-ui,sans-serif}
text{fill:#3d3c39}.title{font-size:15px;font-weight:600;fill:#0b0b0b}.head{font-weight:600;fill:#0b0b0b}
.grid{stroke:#e4e3df;stroke-width:1}.axis{stroke:#8a8984;stroke-width:1}
.bound{stroke:#0b0b0b;stroke-width:2;fill:none}
.ec{stroke:#2a78d6;fill:#2a78d6}.tcq{stroke:#c04f15;fill:#c04f15}.eden{stroke:#1b8a5a;fill:#1b8a5a}.int{stroke:#8a4fc9;fill:#8a4fc9}
path.ec,path.tcq,path.eden,path.int{fill:none;stroke-width:2}
circle,rect.mark{stroke:#fcfcfb;stroke-width:1}
@media(prefers-color-scheme:dark){svg{background:#1a1a19}text{fill:#c3c2b7}.title,.head{fill:#fff}.grid{stroke:#33322f}
.axis{stroke:#777670}.bound{stroke:#fff}.ec{stroke:#5aa0f0;fill:#5aa0f0}.tcq{stroke:#f08a50;fill:#f08a50}
.eden{stroke:#3cc48a;fill:#3cc48a}.int{stroke:#b98af0;fill:#b98af0}path.ec,path.tcq,path.eden,path.int{fill:none}
circle,rect.mark{stroke:#1a1a19}}
"""


def decibels(nmse):
    return 10 * math.log10(nmse)


class Axes:
    """Places of (bits, decibels) in one of the four plots."""

    def __init__(self, column, rows, span):
        self.left, (self.top, self.bottom), self.span = LEFT + column * (PANEL + GAP), rows, span

    def x(self, bits):
        return self.left + PANEL * math.log(bits / BITS[0]) / math.log(BITS[1] / BITS[0])

    def y(self, value):
        low, high = self.span
        return self.bottom - (self.bottom - self.top) * (value - low) / (high - low)

    def frame(self, step, label):
        low, high = self.span
        for bits in TICKS:
            x = self.x(bits)
            yield f'<path class="grid" d="M{x:.1f} {self.top}V{self.bottom}"/>'
            yield f'<text x="{x:.1f}" y="{self.bottom + 17}" text-anchor="middle">{bits:g}</text>'
        for value in range(low, high + 1, step):
            y = self.y(value)
            yield f'<path class="grid" d="M{self.left} {y:.1f}h{PANEL}"/>'
            yield f'<text x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end">{str(value).replace("-", chr(0x2212))}</text>'
        yield f'<path class="axis" d="M{self.left} {self.top}V{self.bottom}h{PANEL}"/>'
        yield (f'<text transform="translate({self.left - 46} {(self.top + self.bottom) / 2}) rotate(-90)" '
               f'text-anchor="middle">{label}</text>')

    def line(self, name, points):
        path = "L".join(f"{self.x(bits):.1f} {self.y(value):.1f}" for bits, value in points)
        return f'<path class="{name}" d="M{path}"/>'

    def marks(self, name, points, codec):
        for bits, value in points:
            tip = f"<title>{codec}: {bits:.3g} bits, {value:.2f} dB</title>"
            yield f'<circle class="{name}" cx="{self.x(bits):.1f}" cy="{self.y(value):.1f}" r="4">{tip}</circle>'


def legend():
    x, y = LEFT, 62
    yield f'<path class="bound" d="M{x} {y - 4}h26"/><text x="{x + 33}" y="{y}">Shannon\'s bound</text>'
    x += 165
    for name, label in NAMES.items():
        yield f'<path class="{name}" d="M{x} {y - 4}h26"/><circle class="{name}" cx="{x + 13}" cy="{y - 4}" r="4"/>'
        yield f'<text x="{x + 33}" y="{y}">{label}</text>'
        x += 56 + 6.7 * len(label)


def panel(column, dist, bound, series):
    upper, lower = Axes(column, UPPER, NMSE_DB), Axes(column, LOWER, GAP_DB)
    yield f'<text class="head" x="{upper.left}" y="{UPPER[0] - 8}">{TITLES[dist]}</text>'
    yield from upper.frame(10, "NMSE, dB")
    yield from lower.frame(3, "dB above the bound")
    rates = [BITS[0] * (8.3 / BITS[0]) ** (i / 80) for i in range(81)]
    yield upper.line("bound", [(rate, decibels(bound(rate))) for rate in rates])
    yield lower.line("bound", [(BITS[0], 0), (BITS[1], 0)])
    for name, points in series:
        for axes, values in ((upper, [(bits, decibels(nmse)) for bits, nmse in points]),
                             (lower, [(bits, decibels(nmse / bound(bits))) for bits, nmse in points])):
            yield axes.line(name, values)
            yield from axes.marks(name, values, name)
    yield f'<text x="{upper.left + PANEL / 2}" y="{LOWER[1] + 38}" text-anchor="middle">bits a value, of the whole stream</text>'


def draw(panels):
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
             f'role="img" aria-label="Rate and distortion of the codecs beside Shannon\'s bound">',
             f"<style>{STYLE}</style>",
             f'<text class="title" x="{LEFT}" y="32">Rate and distortion: 2^20 independent values, streams with all headers</text>',
             *legend()]
    for column, (dist, bound, series) in enumerate(panels):
        parts += panel(column, dist, bound, series)
    return "\n".join([*parts, "</svg>", ""])
