"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const { height, width } = data;
  const photo = byId("photo"), canvas = byId("overlay"), chart = byId("chart");
  const opacity = byId("opacity"), certain = byId("certain");
  const markers = document.querySelectorAll(".marker");

  // The arrays are little-endian whatever the reader's machine is.
  const floats = (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  };
  const relevance = data.relevance.map(floats);
  const spreads = (data.standardError || []).map(floats);
  // Samplers with only one thing to put into a window have no error to speak of.
  const errors = spreads.some((map) => map.some((value) => value > 0)) ? spreads : null;
  const empty = relevance.map((map) => map.every((value) => value === 0 || Number.isNaN(value)));
  const stops = data.stops.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));

  let chosen = 0;
  let place = null;
  let grey = null;

  const color = (relative) => {
    const at = ((relative + 1) / 2) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    return stops[low].map((value, channel) => value + (at - low) * (stops[low + 1][channel] - value));
  };

  const readPhoto = () => {
    const scratch = document.createElement("canvas");
    scratch.width = width;
    scratch.height = height;
    const context = scratch.getContext("2d");
    context.drawImage(photo, 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height).data;
    grey = Float32Array.from({ length: width * height }, (_, i) => {
      const luma = 0.299 * pixels[4 * i] + 0.587 * pixels[4 * i + 1] + 0.114 * pixels[4 * i + 2];
      return 255 * data.lightness + (1 - data.lightness) * luma;
    });
  };

  const draw = () => {
    if (!grey) return;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    const map = relevance[chosen], scale = data.scales[chosen];
    const onlyCertain = errors && certain.checked;
    for (let i = 0; i < map.length; i++) {
      const unknown = Number.isNaN(map[i]);
      const relative = unknown ? 0 : Math.max(-1, Math.min(1, map[i] / scale));
      const size = Math.abs(relative);
      const hidden = onlyCertain && Math.abs(map[i]) < 2 * errors[chosen][i];
      const amount = hidden ? 0 : (opacity.value / 100) * size ** data.exponent;
      const paint = color(Math.sign(relative) * Math.max(size, data.fullColor));
      for (let channel = 0; channel < 3; channel++) {
        picture.data[4 * i + channel] = grey[i] + amount * (paint[channel] - grey[i]);
      }
      picture.data[4 * i + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
  };

  const written = (value, digits = 3) =>
    value === 0 ? "0" : String(Number(Math.abs(value).toPrecision(digits)));
  const signed = (value) => (value < 0 ? "\u2212" : value > 0 ? "+" : "") + written(value);

  const read = () => {
    for (const marker of markers) marker.hidden = place === null;
    byId("needle").hidden = place === null;
    if (place === null) {
      byId("readout").textContent = empty[chosen]
        ? "This map is 0 everywhere."
        : "Point at a pixel to read its relevance.";
      return;
    }
    const [row, column] = place;
    const index = row * width + column;
    const value = relevance[chosen][index], scale = data.scales[chosen];
    const known = !Number.isNaN(value);
    byId("needle").hidden = !known;
    const error = errors && errors[chosen][index];
    const spread = error ? ` \u00b1 ${written(error, 2)}` : "";
    const symbol = data.symbol && ` ${data.symbol}`;
    // An estimate of 0 does not mean that the value is known exactly.
    const unspread = error === 0 ? data.unspread : "";
    const said = known ? `${signed(value)}${spread}${symbol}${unspread}` : "Not evaluated";
    byId("readout").textContent = `${said} at row ${row}, column ${column}`;
    for (const marker of markers) {
      marker.style.left = `${(100 * (column + 0.5)) / width}%`;
      marker.style.top = `${(100 * (row + 0.5)) / height}%`;
    }
    const along = (Math.max(-1, Math.min(1, value / scale)) + 1) / 2;
    byId("needle").style.left = `${100 * along}%`;
  };

  const choose = (index) => {
    chosen = index;
    byId("title").textContent = document.title = data.titles[index];
    byId("lowest").textContent = signed(-data.scales[index]);
    byId("highest").textContent = signed(data.scales[index]);
    canvas.setAttribute("aria-label", `Relevance for ${data.titles[index]}`);
    draw();
    read();
  };

  const moveTo = (row, column) => {
    place = [
      Math.max(0, Math.min(height - 1, row)),
      Math.max(0, Math.min(width - 1, column)),
    ];
    read();
  };

  const pointed = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    moveTo(
      Math.floor(((event.clientY - box.top) / box.height) * height),
      Math.floor(((event.clientX - box.left) / box.width) * width),
    );
  };

  for (const frame of document.querySelectorAll(".frame")) {
    frame.addEventListener("pointermove", pointed);
    frame.addEventListener("pointerdown", pointed);
    frame.classList.toggle("pixelated", Math.max(width, height) <= 128);
  }

  chart.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 : 1;
    const moves = {
      ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step],
    };
    if (event.key === "Escape") {
      place = null;
      read();
    } else if (moves[event.key]) {
      event.preventDefault();
      const [row, column] = place || [Math.floor(height / 2), Math.floor(width / 2)];
      moveTo(row + moves[event.key][0], column + moves[event.key][1]);
    }
  });

  data.titles.forEach((title, index) => {
    const label = document.createElement("label");
    const button = document.createElement("input");
    Object.assign(button, { type: "radio", name: "row", checked: index === 0 });
    button.addEventListener("change", () => choose(index));
    const words = document.createElement("span");
    words.textContent = title;
    label.append(button, words);
    byId("rows").append(label);
  });
  byId("rows").hidden = data.titles.length === 1;
  byId("certain-label").hidden = !errors;
  opacity.addEventListener("input", draw);
  certain.addEventListener("change", draw);
  choose(0);
  photo.decode().then(readPhoto).then(draw);
})();
