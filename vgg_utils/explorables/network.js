/* The book's own networks in plain JavaScript: read a file of weights, run it on 32x32 pixels.

   const network = await bookNetwork.read(bytes);        // of vgg_utils/weights/NAME.npz
   const { maps, scores } = bookNetwork.run(network, pixels);
   Maps are flat arrays [channel][row][column], after the ReLU, one for each of network.layers. */
window.bookNetwork = (function () {
  const text = new TextDecoder("latin1");

  // A file of NumPy's: a zip of arrays, each with a head that says its kind and shape.
  async function unzip(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let end = bytes.length - 22;
    while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end -= 1;
    if (end < 0) throw new Error("no zip file");
    const files = {};
    let at = view.getUint32(end + 16, true);
    for (let left = view.getUint16(end + 10, true); left; left -= 1) {
      const [name, extra, comment] = [28, 30, 32].map((where) => view.getUint16(at + where, true));
      const local = view.getUint32(at + 42, true);
      const begin = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      const part = bytes.subarray(begin, begin + view.getUint32(at + 20, true));
      let stream = new Blob([part]).stream();
      if (view.getUint16(at + 10, true) === 8) {
        stream = stream.pipeThrough(new DecompressionStream("deflate-raw"));
      }
      const title = text.decode(bytes.subarray(at + 46, at + 46 + name)).replace(/\.npy$/, "");
      files[title] = array(await new Response(stream).arrayBuffer());
      at += 46 + name + extra + comment;
    }
    return files;
  }
  function array(buffer) {
    const size = new DataView(buffer).getUint16(8, true);
    const head = text.decode(new Uint8Array(buffer, 10, size));
    const [, kind, code] = head.match(/'descr': '[<|]?((\w)\d*)'/);
    const shape = head.match(/'shape': \(([^)]*)\)/)[1].match(/\d+/g) || [];
    const body = buffer.slice(10 + size);
    if (code === "U") return String.fromCodePoint(...new Uint32Array(body));
    const kinds = { i1: Int8Array, f4: Float32Array, i8: BigInt64Array };
    return { values: new kinds[kind](body), shape: shape.map(Number) };
  }

  async function read(bytes) {
    const files = await unzip(bytes);
    const about = JSON.parse(files.about);
    const { network: plan } = about;
    const layers = [];
    const heads = [];
    let [at, block, place] = [0, 1, 1];
    for (const entry of plan.layer_config) {
      if (entry === "M") {
        layers.push({ name: `pool${block}` });
        [at, block, place] = [at + 1, block + 1, 1];
      } else {
        const layer = { name: `conv${block}_${place}`, ...weights(files, `features.${at}`) };
        if (plan.batch_norm) fold(layer, files, `features.${at + 1}`);
        layers.push(layer);
        [at, place] = [at + (plan.batch_norm ? 3 : 2), place + 1];
      }
    }
    for (const number of [0, 3, 6]) heads.push(weights(files, `classifier.${number}`));
    return { ...about, layers, heads };
  }
  function weights(files, name) {  // whole numbers of 8 bits, and a factor for each output
    const { values, shape } = files[`${name}.weight`];
    const factors = files[`${name}.weight:factor`].values;
    const each = values.length / shape[0];
    const weight = Float32Array.from(values, (value, at) => value * factors[Math.floor(at / each)]);
    return { weight, bias: files[`${name}.bias`].values.slice(), inputs: shape[1] };
  }
  function fold(layer, files, name) {  // batch norm, done to the weights of the layer before it
    const [scale, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
      .map((part) => files[`${name}.${part}`].values);
    const each = layer.weight.length / scale.length;
    scale.forEach((value, output) => {
      const factor = value / Math.sqrt(variance[output] + 1e-5);
      for (let k = output * each; k < (output + 1) * each; k += 1) layer.weight[k] *= factor;
      layer.bias[output] = (layer.bias[output] - mean[output]) * factor + shift[output];
    });
  }

  // The same layers before any training: He's normal weights, no bias.
  function random(network, seed) {
    let state = seed;
    const uniform = () => {  // mulberry32
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
    const drawn = (layer) => {
      if (!layer.weight) return layer;
      const each = layer.weight.length / layer.bias.length;
      const weight = layer.weight.map(() => Math.sqrt(2 / each)
        * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
      return { ...layer, weight, bias: new Float32Array(layer.bias.length) };
    };
    return { ...network, layers: network.layers.map(drawn), heads: network.heads.map(drawn) };
  }

  // pixels: [colour][row][column] from 0 to 1, as the book's preprocessing leaves them.
  function run(network, pixels) {
    const { mean, std, size } = network.preprocess;
    let map = pixels.map((value, at) => {
      const colour = Math.floor(at / (size * size));
      return (value - mean[colour]) / std[colour];
    });
    let side = size;
    const maps = network.layers.map((layer) => {
      map = layer.weight ? convolve(map, side, layer) : pool(map, side);
      if (!layer.weight) side /= 2;
      return map;
    });
    const [fc6, fc7, fc8] = network.heads;
    return { maps, scores: [...connect(connect(connect(map, fc6, true), fc7, true), fc8, false)] };
  }
  // Windows of 3x3 over a map with a ring of zeros, then a ReLU. Along a row, two columns of a
  // window are those of the window before: three pixels are read for nine products.
  function convolve(map, side, { weight, bias, inputs }) {
    const wide = side + 2;
    const padded = new Float64Array(inputs * wide * wide);
    for (let c = 0, from = 0; c < inputs; c += 1) {
      for (let y = 0; y < side; y += 1) {
        const to = (c * wide + y + 1) * wide + 1;
        for (let x = 0; x < side; x += 1, from += 1) padded[to + x] = map[from];
      }
    }
    const area = side * side;
    const result = new Float32Array(bias.length * area);
    const sums = new Float64Array(area);
    for (let o = 0, k = 0; o < bias.length; o += 1) {
      sums.fill(bias[o]);
      for (let c = 0; c < inputs; c += 1, k += 9) {
        const a = weight[k], b = weight[k + 1], d = weight[k + 2];
        const e = weight[k + 3], f = weight[k + 4], g = weight[k + 5];
        const h = weight[k + 6], i = weight[k + 7], j = weight[k + 8];
        for (let y = 0, at = 0; y < side; y += 1) {
          let up = (c * wide + y) * wide, middle = up + wide, down = middle + wide;
          let p = padded[up], q = padded[up + 1];
          let r = padded[middle], s = padded[middle + 1];
          let t = padded[down], u = padded[down + 1];
          up += 2; middle += 2; down += 2;
          for (let x = 0; x < side; x += 1, at += 1) {
            const l = padded[up + x], m = padded[middle + x], n = padded[down + x];
            sums[at] += a * p + b * q + d * l + e * r + f * s + g * m + h * t + i * u + j * n;
            p = q; q = l; r = s; s = m; t = u; u = n;
          }
        }
      }
      for (let at = 0; at < area; at += 1) result[o * area + at] = sums[at] > 0 ? sums[at] : 0;
    }
    return result;
  }
  function pool(map, side) {
    const half = side / 2;
    return new Float32Array(map.length / 4).map((_, at) => {
      const from = 2 * (Math.floor(at / half) * side + (at % half));
      return Math.max(map[from], map[from + 1], map[from + side], map[from + side + 1]);
    });
  }
  function connect(values, { weight, bias, inputs }, relu) {
    return bias.map((start, output) => {
      let sum = start;
      for (let k = 0; k < inputs; k += 1) sum += weight[output * inputs + k] * values[k];
      return relu && sum < 0 ? 0 : sum;
    });
  }
  return { read, random, run };
})();
