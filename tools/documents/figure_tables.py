"""What the tables of figures in the documents show."""
from typing import NamedTuple
class Table(NamedTuple):
  heading: str
  rows: dict
  columns: dict
TABLES={}
