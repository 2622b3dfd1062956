"""What tests of the report share: an object, small graphs, a page's tags."""

from html.parser import HTMLParser

from jax_cse.report.jaxpr_graph import Graph, Node


class Model:

  def __init__(self, factor):
    self.factor = factor

  def __call__(self, x):
    return self.factor * x

  def method(self, x):
    return self.factor * x


def node(label="sin", **fields):
  return Node("equation", label, "f32[]", **fields)


def chain(number, marked=()):
  return Graph([node(f"n{i}", mark="again" if i in marked else "")
                for i in range(number)],
               [(i, i + 1) for i in range(number - 1)], number)


class Tags(HTMLParser):
  """Checks that what is opened is closed, and keeps the text."""
  VOID = {"meta"}

  def __init__(self, page):
    super().__init__()
    self.open_tags, self.text, self.started = [], "", []
    self.feed(page)
    self.close()
    assert not self.open_tags, self.open_tags

  def handle_starttag(self, tag, attrs):
    self.started.append((tag, dict(attrs)))
    if tag not in self.VOID:
      self.open_tags.append(tag)

  def handle_startendtag(self, tag, attrs):
    pass

  def handle_endtag(self, tag):
    assert self.open_tags.pop() == tag, tag

  def handle_data(self, data):
    self.text += data
