"""The README's example gives the output that the README shows."""

import doctest
import pathlib

from absl.testing import absltest

README = pathlib.Path(__file__).parent.parent / "README.md"


class ReadmeTest(absltest.TestCase):

  def test_examples(self):
    text = README.read_text().replace("```", "")
    parser = doctest.DocTestParser()
    test = parser.get_doctest(text, {}, "README", str(README), 0)
    self.assertNotEmpty(test.examples)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test)
    self.assertEqual(runner.summarize(verbose=False).failed, 0)


if __name__ == "__main__":
  absltest.main()
