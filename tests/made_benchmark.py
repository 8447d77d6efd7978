"""Made-up questions with options, in the form of MMAU and MMAR."""

import json

CHOICES = {
  'q1': ('dog', 'cat', 'bird', 'frog'),
  'q2': ('Guitar, Piano', 'Piano, Guitar', 'Drums', 'Violin'),
  'q3': ('yes', 'no'),
  'q4': ('two', 'three', 'four', 'five'),
}
RIGHT = {'q1': 'cat', 'q2': 'Guitar, Piano', 'q3': 'yes', 'q4': 'five'}
TASKS = {'q1': 'sound', 'q2': 'music', 'q3': 'speech', 'q4': 'sound'}


def questions(answers, key='model_output'):
  """The records of the questions, with answers by id where they have one."""
  return [
    {
      'id': name,
      'question': f'What is heard in {name}?',
      'choices': list(CHOICES[name]),
      'answer': RIGHT[name],
      'task': TASKS[name],
      'difficulty': 'easy' if name < 'q3' else 'hard',
    }
    | ({key: answers[name]} if name in answers else {})
    for name in CHOICES
  ]


def write(path, answers, key='model_output'):
  """Writes a JSON array, or lines where the name says so. Returns the path."""
  rows = questions(answers, key)
  lines = '\n'.join(map(json.dumps, rows))
  text = lines if path.suffix == '.jsonl' else json.dumps(rows, indent=1)
  path.write_text(text + '\n')
  return path
