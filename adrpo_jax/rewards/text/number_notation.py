r"""One notation for numbers that texts spell in LaTeX, Markdown and Unicode.

'\$1{,}000', '\frac34', '2³', '−½' -> '$1,000', '(3)/(4)', '2^(3)', '- 1/2'

What is left as LaTeX, such as \sqrt{2}, is no number.
"""

from collections.abc import Callable
import re
import unicodedata

Replacement = str | Callable[[re.Match[str]], str]

_CHARACTERS = str.maketrans(
  {
    **dict.fromkeys('−‐‑–﹣－', '-'),
    **dict.fromkeys('×·⋅∙✕✖⨯∗', '*'),
    **dict.fromkeys('÷⁄∕', '/'),
    **dict.fromkeys('€£¥₹₽₩₪₫฿＄', '$'),
    **dict.fromkeys('\u200b\u200e\u200f\u2060\ufeff\xad', ''),
    **{'＋': '+', '％': '%', '，': ',', '．': '.', '’': "'", '…': '...'},
  }
)


def _digits(match: re.Match[str]) -> str:
  return unicodedata.normalize('NFKC', match[0])


def _vulgar(match: re.Match[str]) -> str:
  """'½' -> ' 1/2'; the space is that of a mixed number."""
  return f' {_digits(match)}'.replace('⁄', '/')


def _raised(match: re.Match[str]) -> str:
  return f'^({_digits(match)})'.replace('−', '-')


def _styled(match: re.Match[str]) -> str:
  r"""The content of \text{...}, apart from a number in front of it."""
  content = match[1]
  return f' {content}' if content[:1].isalpha() else content


def _fraction(match: re.Match[str]) -> str:
  above, below = (part.strip('{} ') for part in match.groups())
  return f'({above})/({below})'


def _command(names: str) -> str:
  return rf'\\(?:{names})(?![A-Za-z])'


_STYLES = (
  r'text|textbf|textit|textrm|textnormal|texttt|mathrm|mathbf|mathit|mathsf|'
  r'mbox|hbox|operatorname|boldsymbol|bm|underline|emph|fbox'
)
_RELATIONS = (
  r'approx|sim|simeq|equiv|cong|leq?|geq?|leqslant|geqslant|lt|gt|neq?|to|'
  r'rightarrow|Rightarrow|longrightarrow|Longrightarrow|implies|iff|therefore|'
  r'because|mapsto'
)
_NOTHING = (
  r'left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|blacksquare|square|'
  r'qed|checkmark|hline|item|par|newline|hfill|noindent'
)
_FRACTION = r'\\(?:[dtcs]?frac|nicefrac)\s*(\d|\{[^{}]*\})\s*(\d|\{[^{}]*\})'

# In this order, each on the text that the one before leaves.
_RULES: tuple[tuple[re.Pattern[str], Replacement], ...] = tuple(
  (re.compile(pattern), replacement)
  for pattern, replacement in (
    (r'[¼-¾⅐-⅞↉]', _vulgar),
    (r'[⁰¹²³⁴-⁹⁺⁻]+', _raised),
    (r'[₀-₉]+', lambda match: f'_{_digits(match)}'),
    (r'\d', lambda match: str(unicodedata.digit(match[0]))),
    (r'\\\\', '\n'),
    (r'\\\$|' + _command('pounds|euro|yen|textdollar|dollar'), '$'),
    (r'\\[()\[\]]', '$'),
    (r'\\%', '%'),
    (r'\\!', ''),
    (r'\\[,;:> ]|~|[^\S\n]|' + _command('thinspace|enspace|[mn]space'), ' '),
    (r'\{([, ])\}', r'\1'),
    (_command('quad|qquad'), '  '),
    (r'\\\{', '['),
    (r'\\\}', ']'),
    (r'\\(?:begin|end|label|tag)\*?\{[^{}]*\}', ' '),
    (_command(_NOTHING), ''),
    (rf'\\(?:{_STYLES})\s*\{{([^{{}}]*)\}}', _styled),
    (rf'\\(?:{_STYLES})\s*\{{([^{{}}]*)\}}', _styled),
    (r'\\boxed\s*\{', ' {'),
    (_command('cdot|times|ast'), '*'),
    (_command('div'), '/'),
    (_command('pm|mp'), '±'),
    (_command('[lc]?dots'), '...'),
    (_command(_RELATIONS), ' = '),
    (r'\s?\^\s?\{?\s?' + _command('circ|degree') + r'\s?\}?', '°'),
    (_command('degree|circ'), '°'),
    (r'\^\s?\{([^{}]*)\}', r'^(\1)'),
    (_FRACTION, _fraction),
    (r'(?<=[\d)])\*\*(?=[\d(+-])|(?<=\b[A-Za-z])\*\*(?=\d)', '^'),
    (r'\*\*|(?<!\w)__|__(?!\w)', ''),
    (r'(?m)^ *[*•] +', ''),
    (r'(?i)\b(?:minus|negative) +(?=[$\d.(])', '-'),
    (r'\b(?:US|AU|CA|NZ|HK|SG|[ACRS])\$', '$'),
    (
      r'\b(?:USD|EUR|GBP|CNY|RMB|JPY|INR|CAD|AUD|CHF|Rs\.?) ?(?=[-+]?\$?\d)',
      '$',
    ),
    # The indices and exponents of a name belong to it: CO2, x_1, cm^2.
    (r'(?<![A-Za-z\d.\\])([A-Za-z]+)\d\w*(?:\.\d+)*', r'\1'),
    (r'(?<=[A-Za-z]) ?[_^] ?(?:\{[^{}]*\}|\([^()]*\)|[-+]?\d+)', ''),
  )
)


def plain(text: str) -> str:
  """Returns a text in the notation of this module."""
  text = text.translate(_CHARACTERS)
  for pattern, replacement in _RULES:
    text = pattern.sub(replacement, text)
  return text
