(async () => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const { height, width } = data;
  const photo = byId("photo"), canvas = byId("overlay"), chart = byId("chart");
  const opacity = byId("opacity"), certain = byId("certain"), same = byId("same");
  const markers = document.querySelectorAll(".marker"), frames = document.querySelectorAll(".frame");
  const outlines = document.querySelectorAll(".window");
  const isSeries = data.kind === "series";

  const unpacked = async (text) => {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const floats = async ({ bytes: text, step }) => {
    const bytes = await unpacked(text);
    if (step !== null) {
      // Whole numbers modulo 256, as differences along both axes.
      for (let i = 1; i < bytes.length; i++) if (i % width) bytes[i] += bytes[i - 1];
      for (let i = width; i < bytes.length; i++) bytes[i] += bytes[i - width];
      return Float32Array.from(new Int8Array(bytes.buffer), (value) => (value === -128 ? NaN : value * step));
    }
    // Little-endian whatever the reader's machine is; all first bytes, then all second, ...
    const length = bytes.length / 4, view = new DataView(new ArrayBuffer(bytes.length));
    for (let i = 0; i < length; i++) {
      for (let part = 0; part < 4; part++) view.setUint8(4 * i + part, bytes[part * length + i]);
    }
    return Float32Array.from({ length }, (_, i) => view.getFloat32(4 * i, true));
  };
  for (const layer of data.layers) {
    layer.relevance = await Promise.all(layer.relevance.map(floats));
    const spreads = layer.standardError && (await Promise.all(layer.standardError.map(floats)));
    // Samplers with only one thing to put into a window have no error to speak of.
    layer.errors = spreads && spreads.some((map) => map.some((value) => value > 0)) ? spreads : null;
  }
  if (isSeries) {
    data.lines = await floats(data.lines);
  } else {
    photo.src = data.photo;
    await photo.decode();
  }
  document.querySelector("main").style.setProperty("--aspect", isSeries ? 100 : width / height);
  const windows = isSeries ? null : await windowsOf(data, photo, floats);
  const paint = isSeries ? seriesPainter(data) : imagePainter(data, photo);
  const color = painterOf(data.stops), errorColor = painterOf(["#ffffff", "#ffffff", "#ffffff", "#a89fce", "#4b3f85"]);

  let layer = data.layers[data.opened], chosen = 0, place = null, pinned = false;

  // What a colour bar should end at: the largest but for one pixel in a thousand.
  const strength = (values) => {
    const sizes = values.filter((value) => !Number.isNaN(value)).map(Math.abs).sort();
    const largest = sizes[sizes.length - 1], limit = sizes[Math.ceil(0.999 * (sizes.length - 1))];
    return (limit > 1e-3 * largest ? limit : largest) || 1;
  };
  const layerScale = () => (same.checked ? Math.max(...layer.scales) : layer.scales[chosen]);
  const shown = () => {
    const view = document.querySelector("[name=view]:checked").value;
    const other = byId("minus").value === "" ? null : Number(byId("minus").value);
    const map = layer.relevance[chosen];
    // The two maps come of the same samples, so their errors say nothing of their difference.
    const difference = other !== null && view !== "error";
    const values = difference ? map.map((value, i) => value - layer.relevance[other][i]) : map;
    const errors = difference ? null : layer.errors && layer.errors[chosen];
    if (view === "error") {
      const scale = same.checked ? Math.max(...layer.errors.map(strength)) : strength(errors);
      return { values: errors, errors: null, scale, view, color: errorColor, difference: false };
    }
    return {
      values, errors, view, color, difference, scale: difference ? strength(values) : layerScale(),
      opacity: opacity.value / 100, inColor: byId("color").checked,
      onlyCertain: errors && certain.checked,
    };
  };
  let now = null;

  const written = (value, digits = 3) =>
    value === 0 ? "0" : String(Number(Math.abs(value).toPrecision(digits)));
  const signed = (value) => (value < 0 ? "\u2212" : value > 0 ? "+" : "") + written(value);

  const panel = windows && windowPanel(windows, { byId, color, written, signed });
  const outline = (index) => {
    for (const each of outlines) {
      each.hidden = index === undefined;
      if (each.hidden) continue;
      const [top, left] = windows.origins[index], [high, wide] = windows.size;
      const share = { left: left / width, top: top / height, width: wide / width, height: high / height };
      for (const [side, value] of Object.entries(share)) each.style[side] = `${100 * value}%`;
    }
  };
  // The output with and without a window: the one that is shown, or else the nearest.
  const readWindow = () => {
    if (!panel) return "";
    const look = { layer: data.layers.indexOf(layer), row: chosen, symbol: layer.symbol && ` ${layer.symbol}`, scale: layerScale() };
    panel.show(pinned ? place : null, look, read);
    const index = place === null ? undefined : pinned ? panel.chosen() : windows.around(place)[0];
    outline(index);
    const numbers = index === undefined ? null : panel.numbersOf(index, look.layer, chosen);
    if (!numbers || numbers.without === null) return "";
    return `${numbers.quantity} = ${numbers.value}, without its window ${numbers.without}`;
  };

  const read = () => {
    const second = readWindow();
    for (const marker of markers) marker.hidden = place === null;
    for (const frame of frames) frame.classList.toggle("pinned", pinned);
    byId("needle").hidden = place === null;
    if (place === null) {
      const empty = now.values.every((value) => value === 0 || Number.isNaN(value));
      byId("readout").textContent = empty
        ? "This map is 0 everywhere."
        : `Point at a ${isSeries ? "position" : "pixel"} to read its relevance; click to pin it.`;
      return;
    }
    const [row, column] = place;
    const index = row * width + column, value = now.values[index];
    const error = now.errors && now.errors[index];
    const spread = error ? ` \u00b1 ${written(error, 2)}` : "";
    const symbol = layer.symbol && ` ${layer.symbol}`;
    // An estimate of 0 does not mean that the value is known exactly.
    const unspread = error === 0 ? layer.unspread : "";
    const where = isSeries ? `position ${column}` : `row ${row}, column ${column}`;
    const amount = now.view === "error" ? written(value, 2) : signed(value);
    const reading = Number.isNaN(value) ? "Not explained" : `${amount}${spread}${symbol}${unspread}`;
    const lines = [reading, `${where}${pinned ? " (pinned)" : ""}`, second];
    byId("readout").replaceChildren(...lines.map((words) => {
      const line = document.createElement("span");
      line.textContent = words;
      return line;
    }));
    for (const marker of markers) {
      marker.style.left = `${(100 * (column + 0.5)) / width}%`;
      marker.style.top = isSeries ? "0" : `${(100 * (row + 0.5)) / height}%`;
    }
    const along = (Math.max(-1, Math.min(1, value / now.scale)) + 1) / 2;
    byId("needle").style.left = `${100 * (now.view === "error" ? 2 * along - 1 : along)}%`;
    byId("needle").hidden = Number.isNaN(value);
  };

  const draw = () => {
    now = shown();
    paint(canvas, now);
    const isError = now.view === "error", minus = byId("minus");
    const stops = isError ? ["#ffffff", "#a89fce", "#4b3f85"] : data.stops;
    document.querySelector(".bar").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    byId("lowest-word").textContent = isError || now.difference ? "" : layer.lowest;
    byId("highest-word").textContent = isError || now.difference ? "" : layer.highest;
    byId("lowest").textContent = isError ? "0" : signed(-now.scale);
    byId("middle").textContent = isError ? "" : "0";
    byId("highest").textContent = isError ? written(now.scale) : signed(now.scale);
    byId("unit").textContent = isError ? `standard error, ${layer.unit}` : layer.unit;
    const title = layer.titles[chosen];
    const words = now.difference ? `${title} minus ${layer.titles[Number(minus.value)]}` : title;
    byId("title").textContent = document.title = words;
    const what = { overlay: "Relevance over the image", map: "Relevance", error: "Standard error" }[now.view];
    byId("shown").textContent = isSeries ? what.replace(" over the image", "") : what;
    canvas.setAttribute("aria-label", `${what}: ${words}`);
    for (const id of ["opacity-label", "color-label"]) byId(id).hidden = now.view !== "overlay";
    byId("color-label").hidden ||= isSeries;
    byId("certain-label").hidden = !now.errors;
    read();
  };

  const thumbnail = (index) => {
    const small = document.createElement("canvas"), whole = document.createElement("canvas");
    const errors = layer.errors && layer.errors[index];
    paint(whole, { values: layer.relevance[index], errors, scale: layer.scales[index], view: "overlay", color, opacity: 0.9 }, true);
    Object.assign(small, { width: 96, height: Math.max(16, Math.round((96 * whole.height) / whole.width)) });
    small.getContext("2d").drawImage(whole, 0, 0, small.width, small.height);
    small.setAttribute("aria-hidden", "true");
    return small;
  };

  const choose = (index) => {
    chosen = index;
    const minus = byId("minus"), before = minus.value;
    minus.replaceChildren(new Option("nothing", ""));
    layer.titles.forEach((title, other) => {
      if (other !== index) minus.add(new Option(title, other));
    });
    minus.value = [...minus.options].some((option) => option.value === before) ? before : "";
    draw();
  };

  const open = (which) => {
    layer = data.layers[which];
    for (const lead of document.querySelectorAll(".lead")) lead.hidden = lead.dataset.rows !== layer.rows;
    byId("rows-legend").textContent = layer.legend;
    byId("note").textContent = layer.note;
    same.checked = layer.oneScale;
    const many = layer.titles.length > 1, rows = byId("rows");
    rows.hidden = byId("same-label").hidden = byId("minus-label").hidden = !many;
    byId("error-label").hidden = !layer.errors;
    if (!layer.errors && document.querySelector("[value=error]").checked) {
      document.querySelector("[value=overlay]").checked = true;
    }
    const thumbs = layer.rows === "units" && many;
    rows.classList.toggle("thumbs", thumbs);
    byId(thumbs ? "many" : "few").append(rows);
    rows.replaceChildren(byId("rows-legend"));
    layer.titles.forEach((title, index) => {
      const label = document.createElement("label"), button = document.createElement("input");
      Object.assign(button, { type: "radio", name: "row", checked: index === 0 });
      button.addEventListener("change", () => choose(index));
      const words = document.createElement("span");
      // Under a small picture there is room for the name alone, which ends before the last comma.
      words.textContent = thumbs ? title.slice(0, title.lastIndexOf(", ") + 1 || undefined).replace(/,$/, "") : title;
      label.title = title;
      label.append(button, ...(thumbs ? [thumbnail(index)] : []), words);
      rows.append(label);
    });
    byId("minus").value = "";
    choose(0);
  };

  const moveTo = (row, column) => {
    place = [Math.max(0, Math.min(height - 1, row)), Math.max(0, Math.min(width - 1, column))];
    read();
  };
  const pointed = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    moveTo(
      isSeries ? 0 : Math.floor(((event.clientY - box.top) / box.height) * height),
      Math.floor(((event.clientX - box.left) / box.width) * width),
    );
  };
  for (const frame of frames) {
    frame.addEventListener("pointermove", (event) => pinned || pointed(event));
    frame.addEventListener("pointerleave", () => { if (!pinned) { place = null; read(); } });
    frame.addEventListener("click", (event) => { pinned = !pinned; pointed(event); });
  }
  document.querySelector("main").classList.toggle("large", !isSeries && Math.max(width, height) <= 128);

  chart.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 : 1;
    const moves = {
      ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step],
    };
    if (event.key === "Escape") {
      pinned = false;
      place = null;
      read();
    } else if (event.key === "Enter" && place !== null) {
      pinned = !pinned;
      read();
    } else if (moves[event.key]) {
      event.preventDefault();
      const [row, column] = place || [Math.floor(height / 2), Math.floor(width / 2)];
      moveTo(row + moves[event.key][0], column + moves[event.key][1]);
    }
  });

  const save = (blob, suffix) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${document.title.replace(/[^\w.-]+/g, "-")}${suffix}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  byId("save-png").addEventListener("click", () => canvas.toBlob((blob) => save(blob, ".png")));
  byId("save-csv").addEventListener("click", () => {
    const spread = layer.errors && layer.errors[chosen];
    const lines = [...layer.relevance[chosen]].map((value, i) => {
      const at = isSeries ? [i] : [Math.floor(i / width), i % width];
      return [...at, Number.isNaN(value) ? "" : value, spread ? spread[i] : ""].join(",");
    });
    const header = `${isSeries ? "position" : "row,column"},relevance,standard_error`;
    save(new Blob([[header, ...lines, ""].join("\n")], { type: "text/csv" }), ".csv");
  });

  data.layers.forEach((each, index) => byId("layer").add(new Option(each.name, index)));
  byId("layer").value = data.opened;
  byId("layer-label").hidden = data.layers.length === 1;
  byId("layer").addEventListener("change", (event) => open(Number(event.target.value)));
  for (const id of ["opacity", "certain", "color", "same", "minus"]) byId(id).addEventListener("input", draw);
  for (const view of document.querySelectorAll("[name=view]")) view.addEventListener("change", draw);
  if (isSeries) document.querySelector("[value=overlay]").parentElement.lastChild.textContent = " lines and curve";
  byId("inside").hidden = !windows;
  if (windows && !windows.fills) {
    byId("inside-hint").textContent = "Click a pixel to see the windows around it, and what the network says without them.";
  }
  open(data.opened);
  document.documentElement.dataset.ready = "yes";
})();
