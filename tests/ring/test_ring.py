"""The laws of a ring, by random expressions; what is equal and what is not."""

from fractions import Fraction
import itertools

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_cse.numbering.expressions import Expressions
from jax_cse.ring import coefficients
from jax_cse.ring import factoring
from jax_cse.ring import ring as ring_lib
from jax_cse.ring.coefficients import in_field, simple
from jax_cse.ring.cores import Element
from jax_cse.ring.normal_form import NormalForms
from jax_cse.ring.ring import Ring

ATOMS = 3


def ring(distributes=True, is_exact=lambda domain: False):
  expressions = Expressions(itertools.count(ATOMS).__next__)
  r = Ring(expressions.of, distributes, is_exact)
  return r, [r.atom(i, "R", (2,) if i == 2 else ()) for i in range(ATOMS)]


# Expressions as data: an atom, a constant, or an operation on expressions.
_leaves = st.one_of(
    st.integers(0, ATOMS - 1).map(lambda i: ("atom", i)),
    st.sampled_from([0, 1, -1, 2, 3, Fraction(1, 2), Fraction(-5, 3)]).map(
        lambda c: ("constant", c)))
expressions = st.recursive(_leaves, lambda inner: st.one_of(
    st.tuples(st.sampled_from(["add", "sub", "mul"]), inner, inner),
    st.tuples(st.just("neg"), inner),
    st.tuples(st.just("power"), inner, st.integers(1, 4))), max_leaves=12)


def element(r, atoms, expression) -> Element:
  kind, *parts = expression
  if kind == "atom":
    return atoms[parts[0]]
  if kind == "constant":
    return r.constant(parts[0], "R")
  if kind == "power":
    return r.power(element(r, atoms, parts[0]), parts[1])
  return getattr(r, kind)(*[element(r, atoms, p) for p in parts])


def value(expression, point):
  kind, *parts = expression
  if kind == "atom":
    return point[parts[0]]
  if kind == "constant":
    return Fraction(parts[0])
  if kind == "power":
    return value(parts[0], point) ** parts[1]
  x, *y = [value(p, point) for p in parts]
  return {"add": lambda: x + y[0], "sub": lambda: x - y[0],
          "mul": lambda: x * y[0], "neg": lambda: -x}[kind]()


POINTS = ((Fraction(2), Fraction(-3), Fraction(1, 5)),
          (Fraction(7, 3), Fraction(1, 9), Fraction(-4)),
          (Fraction(-11), Fraction(13), Fraction(17, 2)))


def of_element(r, x, point):
  """The value of an element, by what it was first computed from."""
  core = r.cores[x.core]
  if type(core) is ring_lib.One:
    return Fraction(x.coefficient)
  if type(core) is ring_lib.Atom:
    return x.coefficient * point[x.core]
  parts = [of_element(r, p, point) for p in core.parts]
  if type(core) is ring_lib.Product:
    return x.coefficient * parts[0] * parts[1]
  if type(core) is ring_lib.Power:
    return x.coefficient * parts[0] ** core.exponent
  return x.coefficient * sum(parts)


def of_tree(r, tree, point):
  if type(tree) is int:
    return of_element(r, Element(1, tree), point)
  if type(tree) is factoring.Plus:
    return sum(c * of_tree(r, t, point) for c, t in tree.terms)
  product = Fraction(1)
  for t, e in tree.factors:
    product *= of_tree(r, t, point) ** e
  return product


class _Symbol:
  """An element, with the operators of Python."""

  def __init__(self, r, x):
    self.r, self.x = r, x

  def _with(self, operation, other):
    other = other.x if isinstance(other, _Symbol) else self.r.constant(
        other, "R")
    return _Symbol(self.r, operation(self.x, other))

  def __add__(self, other):
    return self._with(self.r.add, other)

  def __sub__(self, other):
    return self._with(self.r.sub, other)

  def __mul__(self, other):
    return self._with(self.r.mul, other)

  __rmul__ = __mul__

  def __neg__(self):
    return _Symbol(self.r, self.r.neg(self.x))


class RingTest(parameterized.TestCase):

  @given(expressions, st.sampled_from([True, False]))
  @settings(max_examples=300, deadline=None)
  def test_an_element_has_the_value_of_its_expression(self, e, distributes):
    r, atoms = ring(distributes)
    x = element(r, atoms, e)
    for point in POINTS:
      if not any(type(c) is ring_lib.Factor for c in r.cores.values()):
        self.assertEqual(of_element(r, x, point), value(e, point))

  @given(expressions, expressions)
  @settings(max_examples=300, deadline=None)
  def test_equal_exactly_if_equal_at_every_point(self, e, f):
    r, atoms = ring()
    same = element(r, atoms, e) == element(r, atoms, f)
    values = [value(e, p) == value(f, p) for p in POINTS]
    # Polynomials of this size that agree at all points are rarely different.
    self.assertEqual(same, all(values) and element(
        r, atoms, ("sub", e, f)).coefficient == 0)
    if same:
      self.assertTrue(all(values))

  @given(expressions, expressions, expressions)
  @settings(max_examples=200, deadline=None)
  def test_laws(self, e, f, g):
    r, atoms = ring()
    x, y, z = (element(r, atoms, h) for h in (e, f, g))
    self.assertEqual(r.add(x, y), r.add(y, x))
    self.assertEqual(r.mul(x, y), r.mul(y, x))
    self.assertEqual(r.add(x, r.add(y, z)), r.add(r.add(x, y), z))
    self.assertEqual(r.mul(x, r.mul(y, z)), r.mul(r.mul(x, y), z))
    self.assertEqual(r.mul(x, r.add(y, z)), r.add(r.mul(x, y), r.mul(x, z)))
    self.assertEqual(r.sub(x, x).coefficient, 0)
    self.assertEqual(r.neg(r.neg(x)), x)

  @given(expressions)
  @settings(max_examples=200, deadline=None)
  def test_the_normal_form_has_the_same_value(self, e):
    r, atoms = ring()
    x = element(r, atoms, e)
    form = NormalForms(r).of(x.core)
    for exact in (True, False):
      c, tree = factoring.of_form(form, exact)
      for point in POINTS:
        self.assertEqual(x.coefficient * c * of_tree(r, tree, point),
                         value(e, point))

  @parameterized.parameters(
      ("(x+y)*(x-y)", "x*x-y*y", True, False),
      ("x*(y+z)", "x*y+x*z", True, False),
      ("2*(x+y)", "2*x+2*y", True, False),
      ("(x+y)+z", "z+(y+x)", True, True),
      ("(x*y)*z", "(z*y)*x", True, True),
      ("x+x", "2*x", True, True),
      ("x+y-x", "y", True, True),
      ("x*x*x", "x*(x*x)", True, True),
      ("-(x+y)", "-x-y", True, True),
      ("x*y+x*y", "2*(x*y)", True, True),
      ("x*x", "x", False, False),
      ("x+y", "x*y", False, False),
      ("x-y", "y-x", False, False),
      ("x*x", "2*x", False, False),
      ("x", "x+1", False, False),
  )
  def test_must_and_must_not_merge(self, left, right, in_ring, reassociated):
    for distributes, expected in ((True, in_ring), (False, reassociated)):
      r, atoms = ring(distributes)
      names = dict(zip("xyz", [_Symbol(r, x) for x in atoms]))
      self.assertEqual(eval(left, names).x == eval(right, names).x, expected,
                       f"{left} and {right}, {distributes=}")

  def test_domains_do_not_mix(self):
    r, _ = ring()
    x, y = r.atom(100, "f32"), r.atom(101, "i32")
    self.assertNotEqual(r.constant(2, "f32"), r.constant(2, "i32"))
    self.assertNotEqual(r.add(x, x).core, r.add(y, y).core)

  def test_nothing_is_divided(self):
    r, (x, _, _) = ring()
    self.assertNotEqual(r.mul(x, r.reciprocal(x)), r.constant(1, "R"))
    self.assertEqual(r.mul(r.reciprocal(r.constant(4, "R")), x),
                     r.scale(x, Fraction(1, 4)))

  def test_equal_multiples_have_one_core(self):
    r, (x, y, _) = ring()
    a = r.add(r.scale(x, 3), r.scale(y, 2))
    b = r.add(r.scale(x, 6), r.scale(y, 4))
    c = r.add(r.scale(x, Fraction(-1)), r.scale(y, Fraction(-2, 3)))
    self.assertEqual({a.core}, {b.core, c.core})
    self.assertEqual(b.coefficient, 2 * a.coefficient)
    self.assertEqual(c.coefficient, a.coefficient / Fraction(-3))

  def test_a_chain_of_squarings_ends_in_an_atom(self):
    # In a field of P elements x to the power of P is x.
    r, (x, _, _) = ring()
    y = x
    for bit in f"{coefficients.P:b}"[1:]:
      y = r.mul(y, y)
      if bit == "1":
        y = r.mul(y, x)
    self.assertNotEqual(r.value(y), r.value(x))
    self.assertNotEqual(y, x)

  def test_no_two_usual_coefficients_are_one(self):
    # Small integers times the powers of two that a float of 64 bits may be.
    found = {}
    for exponent in range(-1080, 1080):
      for odd in range(1, 64, 2):
        for sign in (1, -1):
          c = simple(Fraction(2)**exponent * odd * sign)
          found.setdefault(in_field(c) % coefficients.P, []).append(c)
          c = simple(1 + Fraction(2)**exponent * odd * sign)
          found.setdefault(in_field(c) % coefficients.P, []).append(c)
    self.assertEqual([x for x in found.values() if len(set(x)) > 1], [])

  def test_a_coefficient_is_bounded(self):
    r, (x, _, _) = ring()
    y = x
    for _ in range(100):
      y = r.scale(y, Fraction(10**9 + 7, 10**9 + 9))
      self.assertLess(Fraction(y.coefficient).numerator.bit_length(), 257)

  def test_a_sum_is_bounded(self):
    r, _ = ring()
    total = r.atom(1000, "R")
    for i in range(1001, 1500):
      total = r.add(total, r.atom(i, "R"))
    backwards = r.atom(1499, "R")
    for i in range(1498, 999, -1):
      backwards = r.add(backwards, r.atom(i, "R"))
    self.assertEqual(total, backwards)
    self.assertLess(max(len(c.terms) for c in r.cores.values()
                        if type(c) is ring_lib.Sum), 100)

  def test_numbers_are_the_same_in_every_run(self):
    e = ("mul", ("add", ("atom", 0), ("atom", 1)), ("atom", 2))
    numbers = []
    for _ in range(2):
      r, atoms = ring()
      numbers.append((element(r, atoms, e), r.value(element(r, atoms, e))))
    self.assertEqual(*numbers)


class FactoringTest(parameterized.TestCase):

  def test_horner(self):
    terms = [(1, ()), (2, ((0, 2),)), (3, ((0, 4),)), (4, ((0, 6),))]
    tree = factoring.total(factoring.factored(terms, False), False)
    # x**2, and a multiplication and an addition for each of three terms, and
    # one coefficient more.
    self.assertLessEqual(len(factoring.operations(tree, lambda n: ())), 8)

  def test_common_factors(self):
    terms = [(1, ((0, 1), (1, 1))), (1, ((0, 1), (2, 1)))]
    self.assertEqual(factoring.total(factoring.factored(terms, False), False),
                     (1, factoring.Times(((0, 1), (factoring.Plus(
                         ((1, 1), (1, 2))), 1)))))

  @given(st.lists(st.tuples(
      st.integers(-4, 4).filter(bool),
      st.dictionaries(st.integers(0, 2), st.integers(1, 3), max_size=3).map(
          lambda d: tuple(sorted(d.items())))), min_size=1, max_size=8,
      unique_by=lambda term: term[1]), st.booleans())
  @settings(max_examples=200, deadline=None)
  def test_a_factored_sum_has_the_value_of_the_sum(self, terms, exact):
    r, _ = ring()
    c, tree = factoring.total(factoring.factored(terms, exact), exact)
    for point in POINTS:
      direct = Fraction(0)
      for k, monomial in terms:
        for n, e in monomial:
          k = k * point[n] ** e
        direct += k
      self.assertEqual(c * of_tree(r, tree, point), direct)


if __name__ == "__main__":
  absltest.main()
