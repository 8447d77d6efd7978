"""What stands around a number, in `number_notation`: is it a part of more?"""

import re

_UNITS = (
  r'st|nd|rd|th|km|cm|mm|m|kg|g|mg|lbs?|oz|m[lL]|[lL]|s|secs?|mins?|h|hrs?|am|pm|'
  r'AM|PM|ft|in|yd|mph|kph|W|V|px|[kMG]?Hz|[KMGT]B|USD|EUR|GBP|dollars?|euros?|'
  r'cents?|years?|days?|hours?|minutes?|seconds?|meters?'
)
_LETTER = r'[A-Za-zµ\u0370-\u03ff]'
_OPERAND = r'(?:[\d(\\.√]|[b-hj-zB-HJ-Z\u0370-\u03ff](?!\w))'
_BROKEN = (
  r'tenths?|hundredths?|thousandths?|millionths?|half|halves|thirds?|fourths?|'
  r'fifths?|sixths?|sevenths?|eighths?|ninths?|twelfths?'
)
_WORDS = (
  r'times|plus|over|mod|choose|of|out of|in|per|to the power of|divided by|'
  r'multiplied by'
)
_LARGER = (  # 5 hours and 30 minutes
  r'hours?|hrs?|h|feet|foot|ft|dollars?|pounds?|lbs?|minutes?|mins?|years?|'
  r'months?|weeks?|days?|kg|km|m'
)

# The end of the text before a number, without its sign and currency.
_BEFORE = re.compile(
  r"\d[,':]$"  # 1,2345 and 5'10
  r'|\d +: +$'
  r'|\d *[xX] *$'
  rf'|[\d%] +(?:{_WORDS}) +$'
  rf'|\d ?(?:{_LARGER})(?:,| and|, and)? +$'
  r'|\b(?:root|half|third|quarter|square|cube|log|factorial) of +$'
  r'|[-+/^±√∛]\s*$'
  r'|[\w)\]}%°]\s*\$?\s*\*\s*$'
  r'|\\[A-Za-z]+\s*$'  # \log 5
  r'|[\w)\]}\\][([{|]+$'  # f(5), \sqrt{5}
  r'|[-+*/^±√]\s*[([{|]+$'
)
# The start of the text behind it.
_AFTER = re.compile(
  rf'(?!(?:{_UNITS})(?![A-Za-z\d])){_LETTER}'  # 2x
  r"|[.,:'_]\$?\d|_"
  r'|!\s*[\\}$*/^+-]'
  r'| *\$? *\\[A-Za-z]'  # 5\sqrt{2}
  r'|\(|√|∛|∞'
  r'|[)\]}$]* ?\^'
  rf'|[)\]}}$]* *[*/+-] *\$? *{_OPERAND}'
  r'| *±| *[xX] *\d| ?[xyz]\b'
  rf'|[ -](?:{_BROKEN})\b'
  r'| (?:squared|cubed|factorial|k|K|M|B|mn|bn)\b'
  rf'|\s+and\s+(?:an?|one|two|three|\d+)\s+(?:{_BROKEN}|quarters?)\b'
)


def is_part(before: str, number: str, after: str) -> bool:
  """True where a number is a part of an expression, a name, a date, a tuple.

  Args:
    before: the text in front of the number.
    number: with its sign and currency.
    after: the text behind it.
  """
  near, body = before[-200:].rstrip('$'), number.lstrip('$+- ')
  return bool(
    _BEFORE.search(near)
    or _AFTER.match(after[:60])
    or _is_operator(near, number)
    or _is_in_tuple(near, after)
    or (re.search(r'\d\s+and\s+$', near) and '/' in body)  # 5 and 1/2
    or (re.search(r'\.\d+$', body) and re.match(r' ?\.\.', after))  # 0.33...
    or (' ' in body and (re.search(r'\d $', near) or re.match(r' \d', after)))
    or re.search(r'\b\d{1,3}(?: \d{3})+ $', near)  # 12 345 6
    or (re.search(r'\d $', near) and re.match(r'\d{3}(?!\d)', body))
    or (near.endswith('|') and after.startswith('|'))  # |-5|
  )


def _is_operator(before: str, number: str) -> bool:
  """True where the sign of a number stands between terms, or may be a dash."""
  sign = re.match(r'\$*[-+]( ?)', number)
  if not sign:
    return False
  term = before.rstrip(' $')
  word = re.search(r'\\?[A-Za-z]+$', term)
  if word:
    return bool(sign[1] or term == before or len(word[0].strip('\\')) == 1)
  if re.search(r'[\w)\]}%°]$', term):
    return True
  return bool(sign[1] and re.search(r'[.!?;\n]$', term))


def _is_in_tuple(before: str, after: str) -> bool:
  opened = re.search(r'[([][^()[\]\n]*\d[^()[\]\n]*,\s*$', before)
  return bool(opened and re.match(r'\s*[)\]]', after))
