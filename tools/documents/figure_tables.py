"""What the tables of figures in the README and in docs/*.md show.

A cell is made of references, as `figures` reads them, with `; ` between them.
The key of the row stands for {} in the column, or where the column has no {}
that of the column in the row. A row of the title `*` is one for each line of an
entry that fits a pattern; what the star stands for is its title and key. A row
of several references has one for each column.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Table(NamedTuple):
  """A heading over the titles, and rows and columns by their titles.

  `words`: what stands in a last column, by row; its title comes first.
  """
  heading: str
  rows: Mapping[str, str | tuple[str, ...]]
  columns: dict[str, str]
  words: tuple[str, dict[str, str]] | None = None


def _of(entry: str, *columns: str, form: str = "") -> str:
  """References to columns of one entry and line."""
  return "; ".join(f"{form}{' ' if form else ''}{entry}: {column}"
                   for column in columns)


_ORDERS = {"order 2": "2", "4": "4", "6": "6", "8": "8"}
_PROBLEMS = {
    "Navier-Stokes in u, v, p": "Navier-Stokes, tanh",
    "Kuramoto-Sivashinsky": "Kuramoto-Sivashinsky, tanh",
    "Korteweg-de Vries": "Korteweg-de Vries, tanh",
    "Helmholtz, u_xx + u_yy": "Helmholtz, tanh",
    "Helmholtz with silu": "Helmholtz, silu"}


def _step(way: str) -> str:
  return _of("training-steps", *(f"{{}}, {way}: {column}" for column in (
      "flops", "run", "first result")))


def _workload(way: str) -> str:
  return _of("workloads", *(f"{{}}, {way}: {column}" for column in (
      "equations", "first result", "run")))


# Kinds of programs.
_TRAINING = "training with nested `grad` in the loss, orders 2 to 4"
_NEURAL_ODE = "training a neural ODE with its fourth derivative in the loss"
_ENERGIES = "value, gradient and Laplacian of wavefunctions, over folx"
_ALL_ORDERS = "all derivatives up to an order, over jet (a run: mean)"
_HIGH_ORDERS = "nested `jvp` of orders 4, 6, 8, without loops"
_LOOPS_OF_ORDER_4 = "fourth nested `jvp` of loops, branches, linear algebra"
_PRINTED = "Jacobians of equations of motion that sympy printed"
_SECOND = "Hessians, Hessian-vector products, gradient penalties of networks"
_PACKAGES = "samplers, solvers, training of other packages, to trace"
_EAGER = "small eager operations"

_OPERATORS = {
    "operations": "collapsed-operators: {}: flops",
    "temporary memory": "collapsed-operators: {}: temporary memory",
    "to trace": "collapsed-operators: {}: trace",
    "to the first result": "collapsed-operators: {}: first result",
    "run": "spread collapsed-operators: {}: run"}

TABLES = {
    "training-steps": Table(
        "training step, over plain nested `grad`", _PROBLEMS, {
            "operations": "training-steps: {}, grad, enabled: flops",
            "time of a step": "training-steps: {}, grad, enabled: run",
            "time to the first":
                "training-steps: {}, grad, enabled: first result",
            "a step by plain nested `jvp`": "training-steps: {}, jvp: run",
            "by jet": "training-steps: {}, jet: run"}),
    "training-steps-by-way": Table(
        "operations, run, first", {"*": "training-steps: *, grad, enabled"}, {
            "`enabled`": _step("grad, enabled"), "`cse`": _step("grad, cse"),
            "`cse`, nested jvp": _step("jvp, cse"),
            "plain nested jvp": _step("jvp"), "jet": _step("jet"),
            "folx": _step("folx")}),
    "operators": Table("", {
        "value, gradient, Laplacian of FermiNets of 4 and 8 electrons, over "
        "folx": "range wavefunction-energies: FermiNet*, "
                "value_grad_laplacian: {}",
        "... of a PsiFormer of 4 electrons": "wavefunction-energies: "
            "PsiFormer, 4 electrons, value_grad_laplacian: {}",
        "Laplacian of a tanh network, over folx": (
            "laplacian-flops: tanh network, laplacian: ratio", "", "",
            "spread laplacian-run: tanh network, laplacian: ratio"),
        "biharmonic operator in 5 dimensions, over nested `jvp`":
            "collapsed-operators: biharmonic, 5 dimensions, 16 points, "
            "laplacian twice: {}",
        "... by jet": "collapsed-operators: biharmonic, 5 dimensions, "
            "16 points, jet: {}"}, {
                "operations": "flops", "memory, by XLA": "temporary memory",
                "time to the first result": "first result", "a run": "run"}),
    "for-me": Table("your program, with CSE over without", {
        _TRAINING: (
            "range training-steps: *, grad, enabled: first result",
            "range training-steps: *, grad, enabled: run"),
        _NEURAL_ODE: (
            _of("ode-training",
                "until the first step is done, over nested jvp: ratio"),
            _of("ode-training", "a step, over nested jvp: ratio")),
        _ENERGIES: tuple(
            _of("wavefunction-energies", f"*, value_grad_laplacian: {column}",
                form="range") for column in ("first result", "run")),
        _ALL_ORDERS: ("range derivatives-first: *: ratio",
                      "mean derivatives-run: *: ratio"),
        _HIGH_ORDERS: (_of("nested-jvp", *(
            f"trace, lower, compile, order {n}: ratio" for n in (4, 6, 8))),
                       ""),
        _LOOPS_OF_ORDER_4: ("range stages: *, memo: first result", ""),
        _PRINTED: ("range workloads: pendulum*, memo: first result",
                   "range workloads: pendulum*, memo: run"),
        _SECOND: ("range vector-first: *: ratio", "range vector-run: *: ratio"),
        _PACKAGES: ("range others: *, traced: ratio", ""),
        _EAGER: ("", "range overhead-of-an-eager-miss: *: ratio")}, {
            "time to the first result": "", "a run": ""}, ("verdict", {
                _TRAINING: 'worth it: `enabled("ring")` around the step',
                _NEURAL_ODE: "worth it: `enabled()`",
                _ENERGIES: "about as fast, in less memory: "
                           "`value_grad_laplacian`",
                _ALL_ORDERS: "worth it: `derivatives`, `jet`",
                _HIGH_ORDERS: "worth it from order 4 on",
                _LOOPS_OF_ORDER_4: "worth it from order 5 on, where the plain "
                                   "one grows on",
                _PRINTED: "worth it, if sympy's own `cse` was not asked",
                _SECOND: "indifferent; third ones gain a little",
                _PACKAGES: "leave it off",
                _EAGER: "leave it off"})),
    "gains": Table("nested `jvp` of the thread's function", {
        "equations, plain": "nested-jvp: trace, order {}: plain",
        "equations, with CSE": "nested-jvp: trace, order {}: CSE",
        "equations, `jax.experimental.jet`": "nested-jvp: trace, order {}: jet",
        "time to trace, lower and compile, CSE / plain":
            "nested-jvp: trace, lower, compile, order {}: ratio"}, _ORDERS),
    "minute": Table("times as fast as plain", {"*": "minute: *, plain"}, {
        "order": "minute: {}, plain: order",
        "plain": "minute: {}, plain: plain takes",
        "`enabled()`": "fasters minute: {}, memo: ratio",
        "`derivatives`": "fasters minute: {}, derivatives: ratio",
        "`cse`": "fasters minute: {}, explicit: ratio",
        "jet": "fasters minute: {}, jet: ratio",
        "jet-array": "fasters minute: {}, jet-array: ratio",
        "Enzyme-JAX": "fasters minute: {}, Enzyme-JAX: ratio"}),
    "stablehlo-operations": Table("StableHLO operations", {
        "tanh, 7th nested `jvp`": "tanh, nested jvp",
        "tanh, 6th nested `grad`": "tanh, nested grad",
        "thread's function, 7th nested `jvp`": "thread, nested jvp"}, {
            title: f"stablehlo-operations: {{}}, {way}: operations"
            for title, way in (("plain", "plain"), ("`enabled()`", "memo"),
                               ("`cse`", "explicit"),
                               ("Enzyme-JAX", "Enzyme-JAX"))}),
    "nested-jvp-eagerly": Table(
        "eagerly", {"*": "nested-jvp-eagerly: *, memo, order 2"}, {
            f"order {order}": _of(
                "nested-jvp-eagerly", f"{{}}, memo, order {order}: ratio",
                f"{{}}, derivatives, order {order}: ratio")
            for order in (2, 4, 6)}),
    "wavefunction-energies": Table(
        "`value_grad_laplacian`, over folx",
        {"*": "wavefunction-energies: *, value_grad_laplacian"}, {
            title: f"{form}wavefunction-energies: {{}}, value_grad_laplacian: "
                   f"{column}"
            for title, form, column in (
                ("operations", "", "flops"),
                ("temporary memory", "", "temporary memory"),
                ("CPU time to trace", "", "trace"),
                ("to the first result", "", "first result"),
                ("run time", "spread ", "run"))}),
    "resident-memory": Table("memory of the process, MB", {
        f"{name}, {way}": tuple(
            f"resident-memory: {name}, {reference}" for reference in (
                f"{way}: points", "folx: MB", f"{way}: MB", f"{way}: ratio"))
        for name, way in (
            ("Laplacian, 50 dimensions", "laplacian"),
            ("FermiNet, 4 electrons", "value_grad_laplacian"),
            ("FermiNet, 8 electrons", "value_grad_laplacian"),
            ("PsiFormer, 4 electrons", "value_grad_laplacian"))}, {
                "points": "", "folx": "", "jax_cse": "", "over folx": ""}),
    "laplacians": Table("over folx: operations, run", {
        "tanh network, 10 to 64, 64, 64, 1": "tanh network",
        "gelu network": "gelu network",
        "attention, 4 tokens of width 16": "attention"}, {
            title: f"laplacian-flops: {{}}, {form}: ratio; "
                   f"laplacian-run: {{}}, {form}: ratio"
            for title, form in (("plain", "plain vmapped"),
                                ("`laplacian`", "laplacian"),
                                ("`cse` of mapped", "cse of vmapped"),
                                ("`cse` of unrolled", "cse of unrolled"))}),
    "biharmonic": Table("biharmonic operator, over plain nested `jvp`", {
        "`laplacian` twice": "laplacian twice",
        "`cse` of the mapped form": "cse of vmapped",
        "`cse` of the unrolled form": "cse of unrolled", "jet": "jet"}, {
            "operations": "biharmonic-flops: {}: ratio",
            "run": "spread biharmonic-run: {}: ratio"}),
    "large-laplacian": Table("Laplacian, 50 dimensions, over folx", {
        "`laplacian`": "Laplacian, 50 dimensions, 16 points, laplacian",
        "plain nested `jvp`": "Laplacian, 50 dimensions, 16 points, nested jvp"
    }, _OPERATORS),
    "large-biharmonic": Table(
        "biharmonic operator, 5 dimensions, over plain nested `jvp`", {
            title: f"biharmonic, 5 dimensions, 16 points, {way}"
            for title, way in (("`laplacian` twice", "laplacian twice"),
                               ("`cse` of nested `jvp`", "cse of nested jvp"),
                               ("jet", "jet"), ("folx twice", "folx twice"))},
        _OPERATORS),
    "mixed-partials": Table("equations of the mixed partial", {
        "network": "network, ring", "softmax": "softmax, ring",
        "norm": "norm, ring", "dot product": "dot product, ring",
        "concatenation": "concatenate, ring"}, {
            "by 4 arguments": "mixed-partials: {}: control",
            "by 8": "mixed-partials: {}: candidate"}),
    "workloads": Table(
        "equations, first result, run", {"*": "workloads: *, plain"}, {
            "equations: plain": "workloads: {}, plain: equations",
            "memo": _workload("memo"), "`cse`": _workload("explicit"),
            "`derivatives`": _workload("derivatives"),
            "`laplacian`": _workload("laplacian"),
            "`inside`": _workload("inside"), "jet": _workload("jet"),
            "jet-array": _workload("jet-array"),
            "Enzyme-JAX": _workload("Enzyme-JAX"), "folx": _workload("folx"),
            "sympy's own `cse`": _workload("printed cse")}),
    "others": Table("program", {"*": "others: *, traced"}, {
        "traced": "spread others: {}, traced: ratio"}),
    "vector-counts": Table("equations, plain and with CSE", {
        title: f"vector-counts: {operator} of {{}}: control; "
               f"vector-counts: {operator} of {{}}: candidate"
        for title, operator in (
            ("Hessian", "hessian"),
            ("Hessian-vector product, `jvp` of `grad`", "hvp, jvp of grad"),
            ("... `grad` of `grad`", "hvp, grad of grad"),
            ("gradient by the weights of a squared gradient",
             "gradient penalty"),
            ("third derivative, `jvp` of `jvp` of `grad`",
             "third, jvp of jvp of grad"))}, {
                 "tanh": "tanh mlp", "gelu": "gelu mlp",
                 "softplus": "softplus mlp", "attention": "attention"}),
    "derivatives-counts": Table(
        "equations", {"*": "derivatives-counts: *, order 2"}, {
            f"{title}{', ' if order == 2 else ' '}{order}":
                f"derivatives-counts: {{}}, order {order}: {column}"
            for title, column in (("`derivatives`", "candidate"),
                                  ("jet", "control"))
            for order in (2, 4, 8, 10)}),
    "costs": Table("", {
        "tracing a transformer and a ResNet-50, where nothing is computed "
        "twice": _of("overhead-of-tracing",
                     "value_and_grad of a 24-layer transformer: ratio",
                     "value_and_grad of a ResNet-50: ratio"),
        "tracing programs of other packages":
            "range others: *, traced: ratio",
        "tracing nested `jvp` with warm caches, orders 2 and 4": _of(
            "nested-jvp", "trace with warm caches, order 2: ratio",
            "trace with warm caches, order 4: ratio"),
        "tracing the fourth nested `jvp` of loops, branches and networks":
            "range stages: *, memo: trace",
        "second derivatives of networks, until the first result":
            "range vector-first: h*: ratio",
        "a small eager operation that misses":
            "range overhead-of-an-eager-miss: *: ratio",
        "eager nested `jvp`, order 2; 6": _of(
            "nested-jvp-eagerly", "*, memo, order 2: ratio",
            "*, memo, order 6: ratio", form="range"),
        "local energies of a FermiNet, over folx: to trace; to the first": _of(
            "wavefunction-energies",
            "FermiNet*, value_grad_laplacian: trace",
            "FermiNet*, value_grad_laplacian: first result", form="range"),
        "tracing and `cse_jaxpr` in mode `\"ring\"`, over tracing: branches "
        "and loops; 10,000 equations in a row":
            "range rebuilt-traced: *: ratio; over-tracing: ring: ratio"},
                   {"with CSE / without": "{}"}),
    "costs-of-parts": Table("", {
        "`cse_jaxpr` and tracing over tracing, 10,000 equations in a row, mode "
        "`\"exact\"`; `\"reassociate\"`; `\"ring\"`": _of(
            "over-tracing", "exact: ratio", "reassociate: ratio",
            "ring: ratio"),
        "... mode `\"ring\"`, 10 and 40 branches": _of(
            "rebuilt-traced", "10 branches: ratio", "40 branches: ratio"),
        "... a scan of 10, 40 and 160 carries": _of(
            "rebuilt-traced", *(f"{n} carries of a scan: ratio"
                                for n in (10, 40, 160))),
        "`cse` of printed code of 60 terms and its Jacobian: traced; in all":
            _of("printed-jacobian", "60 terms, traced: ratio",
                "60 terms, in all: ratio"),
        "tracing `derivatives` over plain nested `jvp`: Runge-Kutta in a scan":
            "range derivatives-traced: Runge-Kutta*: ratio",
        "... a recurrent network":
            "range derivatives-traced: recurrent*: ratio",
        "... a likelihood by Cholesky":
            "range derivatives-traced: likelihood*: ratio",
        "tracing by `cse` over `enabled()`, nested `jvp`, order 4; 6": _of(
            "explicit-over-memo", "*, order 4, trace: ratio",
            "*, order 6, trace: ratio", form="range"),
        "an eager `lax` call that hits: `sin` of a scalar":
            "gain-of-an-eager-hit: sin of a scalar: ratio",
        "... `sin` of a million numbers":
            "gain-of-an-eager-hit: sin of a million numbers: ratio",
        "... product of 512 x 512 matrices":
            "gain-of-an-eager-hit: product of 512 x 512 matrices: ratio"},
                            {"with CSE / without": "{}"}),
}
