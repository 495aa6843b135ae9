// Windows of an image: which of them contain a pixel, their numbers, and what was put into them.
const MOST_AROUND = 36;

const windowsOf = async (data, photo, floats) => {
  const told = data.windows;
  if (!told) return null;
  const [high, wide] = told.size;
  for (const layer of told.layers) {
    for (const name of ["without", "relevance", "standardError"]) {
      if (layer && layer[name]) layer[name] = await Promise.all(layer[name].map(floats));
    }
  }
  const fills = await Promise.all(told.fills.map(async (source) => {
    const sheet = new Image();
    sheet.src = source;
    await sheet.decode();
    return sheet;
  }));
  const evaluated = told.layers.find((layer) => layer);
  const known = (index) => !evaluated || !Number.isNaN(evaluated.relevance[0][index]);

  // Those that contain a pixel, the one whose centre is nearest first.
  const around = ([row, column]) => {
    const found = [];
    told.origins.forEach(([top, left], index) => {
      if (row < top || row >= top + high || column < left || column >= left + wide || !known(index)) return;
      const down = top + (high - 1) / 2 - row, across = left + (wide - 1) / 2 - column;
      found.push({ index, distance: down * down + across * across });
    });
    found.sort((one, other) => one.distance - other.distance);
    return found.slice(0, MOST_AROUND).map(({ index }) => index);
  };

  // The surroundings of a window, enlarged, with the photo or what was put into the window.
  const draw = (canvas, index, fill) => {
    const [top, left] = told.origins[index], margin = Math.max(4, Math.ceil(Math.max(high, wide) / 2));
    const rows = Math.min(data.height, high + 2 * margin), columns = Math.min(data.width, wide + 2 * margin);
    const first = Math.max(0, Math.min(data.height - rows, top - margin));
    const start = Math.max(0, Math.min(data.width - columns, left - margin));
    const zoom = Math.max(1, Math.ceil(240 / Math.max(rows, columns)));
    Object.assign(canvas, { width: zoom * columns, height: zoom * rows });
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(photo, start, first, columns, rows, 0, 0, canvas.width, canvas.height);
    const box = [zoom * (left - start), zoom * (top - first), zoom * wide, zoom * high];
    if (fill !== null) {
      const [down, across] = told.cell, cell = index;
      const from = [across * (cell % told.columns), down * Math.floor(cell / told.columns)];
      context.drawImage(fills[fill], ...from, wide, high, ...box);
    }
    // A line around the window, never on it.
    for (const [ink, width, out] of [["#000", 4, 2], ["#fff", 2, 2]]) {
      context.strokeStyle = ink;
      context.lineWidth = width;
      context.strokeRect(box[0] - out, box[1] - out, box[2] + 2 * out, box[3] + 2 * out);
    }
  };
  return { around, draw, fills: fills.length, samples: told.samples, layers: told.layers, origins: told.origins, size: told.size };
};

// The part of the page that shows one window: pictures, numbers, and a choice of the others.
const windowPanel = (windows, { byId, color, written, signed }) => {
  let list = [], shown, wanted = () => {};

  // A probability close to one is told by what it lacks.
  const output = (value, isProbability) =>
    isProbability && value > 0.99 && value < 1
      ? value.toFixed(Math.min(8, 2 - Math.floor(Math.log10(1 - value))))
      : (value < 0 ? "\u2212" : "") + written(value);

  const numbersOf = (index, layer, row) => {
    const numbers = windows.layers[layer];
    if (!numbers) return null;
    const { quantity } = numbers, isProbability = quantity === "p";
    return {
      quantity,
      relevance: numbers.relevance[row][index],
      error: numbers.standardError[row][index],
      value: output(numbers.value[row], isProbability),
      without: numbers.without && output(numbers.without[row][index], isProbability),
    };
  };

  const pictures = () => {
    byId("contents").replaceChildren();
    for (let fill = -1; fill < windows.fills; fill++) {
      const figure = document.createElement("figure"), canvas = document.createElement("canvas");
      const words = document.createElement("figcaption");
      words.textContent = fill < 0 ? "as it is" : `fill ${fill + 1}`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `The window and its surroundings, ${words.textContent}`);
      windows.draw(canvas, shown, fill < 0 ? null : fill);
      figure.append(canvas, words);
      byId("contents").append(figure);
    }
  };

  const tell = (layer, row, { symbol, scale }) => {
    const [top, left] = windows.origins[shown], [high, wide] = windows.size;
    const some = windows.fills && windows.fills < windows.samples ? `; ${windows.fills} of ${windows.samples} fills` : "";
    byId("inside-place").textContent =
      `Rows ${top} to ${top + high - 1}, columns ${left} to ${left + wide - 1}${some}`;
    const numbers = numbersOf(shown, layer, row), lines = [];
    if (numbers) {
      if (numbers.without !== null) {
        lines.push([`${numbers.quantity} with it`, numbers.value], [`${numbers.quantity} without it`, numbers.without]);
      }
      const spread = numbers.error > 0 ? ` \u00b1 ${written(numbers.error, 2)}` : "";
      lines.push(["its relevance", `${signed(numbers.relevance)}${spread}${symbol}`]);
    }
    byId("inside-numbers").replaceChildren(...lines.flatMap(([name, value]) => {
      const term = document.createElement("dt"), words = document.createElement("dd");
      term.textContent = name;
      words.textContent = value;
      return [term, words];
    }));
    for (const label of byId("around").querySelectorAll("label")) {
      const each = numbersOf(Number(label.firstChild.value), layer, row);
      if (!each) continue;
      const share = Math.max(-1, Math.min(1, each.relevance / scale));
      label.style.background = `rgb(${color(share).map(Math.round)})`;
      label.title = `${signed(each.relevance)}${symbol}`;
      label.firstChild.setAttribute("aria-label", `Window ${windows.origins[label.firstChild.value].join(", ")}: ${label.title}`);
    }
  };

  const strip = () => {
    const fieldset = byId("around"), legend = fieldset.querySelector("legend");
    const places = list.map((index) => windows.origins[index]);
    const lines = [0, 1].map((axis) => [...new Set(places.map((place) => place[axis]))].sort((a, b) => a - b));
    fieldset.replaceChildren(legend);
    byId("others").hidden = list.length < 2;
    [...list].sort((a, b) => a - b).forEach((index) => {
      const label = document.createElement("label"), button = document.createElement("input");
      Object.assign(button, { type: "radio", name: "window", value: index, checked: index === shown });
      button.addEventListener("change", () => wanted(index));
      label.style.gridArea = `${1 + lines[0].indexOf(windows.origins[index][0])} / ${1 + lines[1].indexOf(windows.origins[index][1])}`;
      label.append(button);
      fieldset.append(label);
    });
  };

  return {
    numbersOf,
    // Show the windows of a pixel, or none; whoever chooses another one is told by ``choose``.
    show: (place, look, choose) => {
      byId("inside-hint").hidden = place !== null;
      if (place === null) return void (byId("inside-shown").hidden = true);
      const found = windows.around(place);
      if (found.join() !== list.join()) {
        [list, shown] = [found, found[0]];
        strip();
        if (list.length) pictures();
      }
      byId("inside-shown").hidden = !list.length;
      if (!list.length) return;
      wanted = (index) => {
        shown = index;
        pictures();
        choose(index);
      };
      tell(look.layer, look.row, look);
    },
    chosen: () => shown,
  };
};
