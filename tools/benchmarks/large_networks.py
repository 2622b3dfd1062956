"""Networks of the size that people train, with next to nothing redundant."""

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np


def transformer(layers=24, width=64, heads=4, length=16):
  """Loss, parameters and input of a transformer with tanh-gelu."""
  def init(key):
    keys = jax.random.split(key, 6)
    sizes = {"q": (width, width), "k": (width, width), "v": (width, width),
             "o": (width, width), "up": (width, 4 * width),
             "down": (4 * width, width)}
    block = {name: 0.02 * jax.random.normal(k, size)
             for k, (name, size) in zip(keys, sizes.items())}
    return block | {"scale": jnp.ones((2, width)),
                    "shift": jnp.zeros((2, width))}

  def normalize(x, scale, shift):
    mean = jnp.mean(x, -1, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, -1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + shift

  def attend(p, x):
    q, k, v = ((x @ p[n]).reshape(length, heads, width // heads) for n in "qkv")
    scores = jnp.einsum("thd,shd->hts", q, k) / jnp.sqrt(width // heads)
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
    out = jnp.einsum("hts,shd->thd", jax.nn.softmax(scores), v)
    return out.reshape(length, width) @ p["o"]

  def block(p, x):
    x = x + attend(p, normalize(x, p["scale"][0], p["shift"][0]))
    y = normalize(x, p["scale"][1], p["shift"][1]) @ p["up"]
    y = 0.5 * y * (1 + jnp.tanh(jnp.sqrt(2 / jnp.pi) * (y + 0.044715 * y**3)))
    return x + y @ p["down"]

  def loss(params, x):
    for p in params:
      x = block(p, x)
    return jnp.mean(x ** 2)

  params = [init(k) for k in jax.random.split(jax.random.key(0), layers)]
  return loss, params, jnp.ones((length, width))


def resnet(stages=(3, 4, 6, 3), width=64, classes=1000, size=64, batch=2):
  """Loss, parameters and images of a ResNet-50 that is being trained.

  He et al. 2015, table 1, with the stride in the 3 x 3 convolutions: four
  stages of bottleneck blocks, each convolution followed by a normalization of
  the batch. Images are small; the program is the same for larger ones.
  """
  rng = np.random.RandomState(0)

  def convolution(kernel, inputs, outputs):
    scale = (2 / (kernel**2 * outputs))**0.5
    weights = rng.randn(kernel, kernel, inputs, outputs) * scale
    return {"w": jnp.asarray(weights, "float32"), "scale": jnp.ones(outputs),
            "shift": jnp.zeros(outputs)}

  def block(inputs, middle, narrows):
    made = {"reduce": convolution(1, inputs, middle),
            "spatial": convolution(3, middle, middle),
            "expand": convolution(1, middle, 4 * middle)}
    if narrows:
      made["shortcut"] = convolution(1, inputs, 4 * middle)
    return made

  blocks, inputs = [], width
  for stage, length in enumerate(stages):
    middle = width * 2**stage
    for i in range(length):
      blocks.append(block(inputs, middle, i == 0))
      inputs = 4 * middle
  params = {"stem": convolution(7, 3, width), "blocks": blocks,
            "head": jnp.asarray(rng.randn(inputs, classes) / inputs**0.5,
                                "float32")}
  strides = [2 if stage and i == 0 else 1
             for stage, length in enumerate(stages) for i in range(length)]

  def apply(p, x, stride=1):
    x = lax.conv_general_dilated(x, p["w"], (stride, stride), "SAME",
                                 dimension_numbers=("NHWC", "HWIO", "NHWC"))
    mean = jnp.mean(x, (0, 1, 2))
    variance = jnp.mean((x - mean)**2, (0, 1, 2))
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p["scale"] + p["shift"]

  def bottleneck(p, x, stride):
    y = jax.nn.relu(apply(p["reduce"], x))
    y = jax.nn.relu(apply(p["spatial"], y, stride))
    y = apply(p["expand"], y)
    rest = apply(p["shortcut"], x, stride) if "shortcut" in p else x
    return jax.nn.relu(y + rest)

  def loss(params, images):
    x = jax.nn.relu(apply(params["stem"], images, 2))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1),
                          "SAME")
    for p, stride in zip(params["blocks"], strides):
      x = bottleneck(p, x, stride)
    logits = jnp.mean(x, (1, 2)) @ params["head"]
    return -jnp.mean(jax.nn.log_softmax(logits)[:, 0])

  images = jnp.asarray(rng.randn(batch, size, size, 3), "float32")
  return loss, params, images
