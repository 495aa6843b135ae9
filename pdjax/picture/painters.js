"use strict";

// Colours of a share of the scale, from -1 to 1.
const painterOf = (stops) => {
  const colors = stops.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return (relative) => {
    const at = ((relative + 1) / 2) * (colors.length - 1);
    const low = Math.min(Math.floor(at), colors.length - 2);
    return colors[low].map((value, channel) => value + (at - low) * (colors[low + 1][channel] - value));
  };
};

// An image: pixels of the overlay, the map or the standard errors.
const imagePainter = (data, photo) => {
  const { height, width } = data;
  const scratch = document.createElement("canvas");
  Object.assign(scratch, { width, height });
  const context = scratch.getContext("2d", { willReadFrequently: true });
  context.drawImage(photo, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height).data;
  const grey = Float32Array.from({ length: width * height }, (_, i) => {
    const luma = 0.299 * pixels[4 * i] + 0.587 * pixels[4 * i + 1] + 0.114 * pixels[4 * i + 2];
    return 255 * data.lightness + (1 - data.lightness) * luma;
  });
  return (canvas, shown) => {
    Object.assign(canvas, { width, height });
    const picture = new ImageData(width, height);
    const { values, errors, scale, view, color } = shown;
    for (let i = 0; i < values.length; i++) {
      const muted = shown.onlyCertain && Math.abs(values[i]) < 2 * errors[i];
      const relative = Math.max(-1, Math.min(1, values[i] / scale));
      let paint, amount = 1, below = 255;
      if (Number.isNaN(relative)) {
        // Not explained: hatched in maps, the bare image otherwise.
        const line = (Math.floor(i / width) + (i % width)) % 6 === 0;
        paint = [0, 0, 0].fill(line ? 217 : 255);
        amount = view === "overlay" ? 0 : 1;
      } else if (view === "error") {
        paint = color(relative);
      } else if (view === "map") {
        paint = muted ? [205, 205, 205] : color(relative);
      } else {
        const size = Math.abs(relative);
        amount = muted ? 0 : shown.opacity * size ** data.exponent;
        paint = color(Math.sign(relative) * Math.max(size, data.fullColor));
      }
      for (let channel = 0; channel < 3; channel++) {
        if (view === "overlay") below = shown.inColor ? pixels[4 * i + channel] : grey[i];
        picture.data[4 * i + channel] = below + amount * (paint[channel] - below);
      }
      picture.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
  };
};

// A series: its lines over a band of colours, and the relevance with its errors below.
const seriesPainter = (data) => {
  const { width: length, lines } = data;
  const count = lines.length / length;
  return (canvas, shown, small = false) => {
    const width = 1200, top = small ? 500 : Math.min(260 + 40 * (count - 1), 560), gap = small ? 0 : 24;
    const height = small ? top : top + gap + 220;
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const { values, errors, scale, view, color } = shown;
    const step = width / length;
    const across = (index) => (index + 0.5) * step;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    for (let i = 0; i < length; i++) {
      if (Number.isNaN(values[i])) {
        context.fillStyle = i % 2 ? "#d9d9d9" : "#fff";
        context.fillRect(i * step, 0, step + 1, top);
        continue;
      }
      const muted = shown.onlyCertain && Math.abs(values[i]) < 2 * errors[i];
      const relative = Math.max(-1, Math.min(1, values[i] / scale));
      const paint = muted ? [205, 205, 205] : color(relative);
      const amount = view === "overlay" && !muted ? shown.opacity * 0.7 : 1;
      context.fillStyle = `rgb(${paint.map((value) => Math.round(255 + amount * (value - 255)))})`;
      context.fillRect(i * step, 0, step + 1, top);
    }
    const stroke = (points, ink, thickness) => {
      context.strokeStyle = ink;
      context.lineWidth = thickness;
      context.beginPath();
      let pen = false;
      points.forEach(([x, y]) => {
        if (Number.isNaN(y)) pen = false;
        else if (pen) context.lineTo(x, y);
        else { context.moveTo(x, y); pen = true; }
      });
      context.stroke();
    };
    if (view === "overlay") {
      for (let line = 0; line < count; line++) {
        const lane = top / count;
        stroke(Array.from({ length }, (_, i) => [across(i), lane * (line + 1 - lines[i * count + line])]), "#1a1a1a", small ? 6 : 2);
      }
    }
    if (small) return;
    const middle = top + gap + 110;
    let reach = scale;
    values.forEach((value, i) => {
      if (!Number.isNaN(value)) reach = Math.max(reach, Math.abs(value) + (errors && view !== "error" ? 2 * errors[i] : 0));
    });
    const down = (value) => middle - (104 * value) / reach;
    context.fillStyle = "rgb(26 26 26 / 22%)";
    if (errors && view !== "error") {
      for (let i = 0; i < length; i++) {
        if (Number.isNaN(values[i])) continue;
        context.fillRect(i * step, down(values[i] + 2 * errors[i]), step, (208 * 2 * errors[i]) / reach);
      }
    }
    stroke([[0, middle], [width, middle]], "#b0b0b0", 1);
    stroke(Array.from({ length }, (_, i) => [across(i), down(values[i])]), "#1a1a1a", 2);
    context.strokeStyle = "#b0b0b0";
    context.strokeRect(0.5, top + gap, width - 1, 219);
  };
};
