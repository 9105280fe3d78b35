"use strict";
(() => {
  const CARDS_PER_PAGE = 24, THUMBS_PER_PAGE = 240, GROUPS_PER_PAGE = 60, NO_LABEL = 65535;
  // Colours that people who do not see all of them can tell apart: seven of Okabe & Ito (2008), then some of Tol's.
  const COLOURS = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#b0a800", "#882255", "#44aa99", "#ddcc77", "#aa4499", "#8c6d46",
  ];
  const OTHER = "#8a919a";
  const data = JSON.parse(document.getElementById("data").textContent);
  const bytes = (text) => {
    const letters = atob(text), made = new Uint8Array(letters.length);
    for (let index = 0; index < letters.length; index++) made[index] = letters.charCodeAt(index);
    return made;
  };
  const labelOf = data.label_of ? new Uint16Array(bytes(data.label_of).buffer) : null;
  let similar = null;
  const similarTo = (position) => {
    if (!data.similar) return [];
    similar = similar || new Uint32Array(bytes(data.similar).buffer);
    return Array.from(similar.subarray(position * data.similar_count, (position + 1) * data.similar_count));
  };
  const clusterOf = new Uint32Array(data.paths.length);
  data.clusters.forEach((cluster, rank) => clusterOf.fill(rank, cluster.first, cluster.first + cluster.size));
  const rankOf = new Map(data.clusters.map((cluster, rank) => [cluster.cluster, rank]));
  const find = (selector, within = document) => within.querySelector(selector);

  const element = (tag, options = {}, ...children) => {
    const made = document.createElement(tag);
    const { dataset, style, ...rest } = options;
    Object.assign(made, rest);
    Object.assign(made.dataset, dataset);
    Object.assign(made.style, style);
    made.append(...children.filter((child) => child !== null));
    return made;
  };
  const count = (number) => number.toLocaleString("en");
  const images = (number) => `${count(number)} image${number === 1 ? "" : "s"}`;
  const percent = (share) => `${Math.round(100 * share)} %`;
  const labelName = (position) =>
    labelOf && labelOf[position] !== NO_LABEL ? data.labels[labelOf[position]] : null;

  // The most frequent labels have colours, by rank; so do the largest clusters.
  const ranked = (sizes) =>
    new Map([...sizes].sort((a, b) => b[1] - a[1]).slice(0, COLOURS.length).map(([key], rank) => [key, COLOURS[rank]]));
  const labelSizes = new Map();
  if (labelOf) labelOf.forEach((label) => label === NO_LABEL || labelSizes.set(label, (labelSizes.get(label) || 0) + 1));
  const labelColours = ranked(labelSizes);
  const clusterColours = ranked(data.clusters.map((cluster, rank) => [rank, cluster.size]));

  // ---- Thumbnails: parts of sheets, which are unpacked or fetched when first shown.
  const side = data.sheet_side, perSheet = side * side;
  const sheets = data.sheets.embedded || data.sheets.files;
  const sheetRules = element("style");
  document.head.append(sheetRules);
  const known = new Set();
  const sheetClass = (number) => {
    if (!known.has(number)) {
      known.add(number);
      const source = data.sheets.embedded
        ? URL.createObjectURL(new Blob([bytes(sheets[number])], { type: "image/jpeg" }))
        : sheets[number];
      sheetRules.sheet.insertRule(`.sheet-${number} { background-image: url("${source}"); }`);
    }
    return `sheet-${number}`;
  };
  const dress = (made, position) => {
    const cell = position % perSheet, column = cell % side, row = Math.floor(cell / side);
    made.classList.add("thumb", sheetClass(Math.floor(position / perSheet)));
    made.style.backgroundSize = `${100 * side}% ${100 * side}%`;
    made.style.backgroundPosition = `${(100 * column) / (side - 1)}% ${(100 * row) / (side - 1)}%`;
    return made;
  };
  const thumb = (position, note = "") => {
    const name = data.paths[position], label = labelName(position);
    const title = [name, label, note].filter(Boolean).join("\n");
    const made = element("button", { type: "button", title, ariaLabel: name, dataset: { image: position } });
    if (note) made.classList.add("doubt");
    return dress(made, position);
  };

  // ---- Cards of clusters.
  const mix = (cluster) => {
    if (!labelOf || !cluster.labels.length) return null;
    const bar = element("div", { className: "mix" });
    let rest = 0;
    cluster.labels.forEach(([label, number]) => {
      if (!labelColours.has(label)) return void (rest += number);
      const title = `${data.labels[label]}: ${number}`;
      const style = { width: `${(100 * number) / cluster.size}%`, background: labelColours.get(label) };
      bar.append(element("span", { title, style }));
    });
    if (rest) bar.append(element("span", { title: `others: ${rest}`, style: { width: `${(100 * rest) / cluster.size}%`, background: OTHER } }));
    return bar;
  };
  const mixInWords = (cluster) =>
    cluster.labels.slice(0, 3).map(([label, number]) => `${data.labels[label]} ${percent(number / cluster.size)}`).join(", ");
  const alike = (cluster) => {
    if (cluster.cohesion === null) return null;
    const inner = element("span", { style: { width: `${Math.max(0, 100 * cluster.cohesion)}%` } });
    const title = "mean cosine between the features of two of its images";
    return element("span", { title }, element("span", { className: "meter" }, inner), `similarity ${cluster.cohesion.toFixed(2)}`);
  };
  const doubtNote = (doubt) => (doubt === null ? "far from the centre" : doubt > 1 ? "nearer to another cluster" : `doubt ${doubt.toFixed(2)}`);
  const card = (rank) => {
    const cluster = data.clusters[rank];
    const made = element("article", { className: "card", dataset: { rank } });
    const all = element("button", { type: "button", className: "link", textContent: images(cluster.size), dataset: { cluster: cluster.cluster } });
    made.append(element("h3", {}, `Cluster ${cluster.cluster}`, all));
    const facts = element("p", { className: "facts" });
    const alikeness = alike(cluster);
    if (alikeness) facts.append(alikeness);
    if (cluster.labels.length) facts.append(alikeness ? " · " : "", mixInWords(cluster));
    made.append(facts);
    const bar = mix(cluster);
    if (bar) made.append(bar);
    const numTypical = Math.min(16, cluster.size);
    made.append(element("p", { className: "row-title", textContent: "most typical" }));
    made.append(element("div", { className: "thumbs typical" }, ...Array.from({ length: numTypical }, (_, index) => thumb(cluster.first + index))));
    const doubtful = cluster.doubtful.filter(([position]) => position >= cluster.first + numTypical).slice(0, 8);
    if (doubtful.length) {
      made.append(element("p", { className: "row-title", textContent: "most doubtful" }));
      made.append(element("div", { className: "thumbs doubtful" }, ...doubtful.map(([position, doubt]) => thumb(position, doubtNote(doubt)))));
    }
    return made;
  };

  // ---- Paging.
  const pager = (holder, numItems, perPage, show) => {
    let page = 0;
    const numPages = Math.max(1, Math.ceil(numItems / perPage));
    const go = (to) => {
      page = Math.min(Math.max(to, 0), numPages - 1);
      show(page * perPage, Math.min(numItems, (page + 1) * perPage));
      holder.replaceChildren();
      if (numPages === 1) return;
      const step = (text, to, disabled) => element("button", { type: "button", textContent: text, disabled, onclick: () => go(to) });
      holder.append(step("‹ back", page - 1, page === 0), `page ${page + 1} of ${count(numPages)}`, step("more ›", page + 1, page === numPages - 1));
    };
    go(0);
  };

  // ---- The gallery and its filters.
  const form = find("#filters"), gallery = find("#gallery");
  const orders = {
    size: (a, b) => b.size - a.size,
    small: (a, b) => a.size - b.size,
    cohesive: (a, b) => (b.cohesion ?? -2) - (a.cohesion ?? -2),
    mixed: (a, b) => (a.cohesion ?? 2) - (b.cohesion ?? 2),
    pure: (a, b) => purity(b) - purity(a),
    number: (a, b) => a.cluster - b.cluster,
  };
  const purity = (cluster) => (cluster.labels.length ? cluster.labels[0][1] / cluster.size : 0);
  if (form.label) data.labels.forEach((name, label) => form.label.append(element("option", { value: label, textContent: name })));
  const holdsText = (cluster, text) => {
    for (let position = cluster.first; position < cluster.first + cluster.size; position++) {
      if (data.paths[position].toLowerCase().includes(text)) return true;
    }
    return false;
  };
  const matches = (cluster, least, label, text) =>
    cluster.size >= least &&
    (label === "" || (cluster.labels.length > 0 && cluster.labels[0][0] === Number(label))) &&
    (text === "" || (/^\d+$/.test(text) ? String(cluster.cluster) === text || holdsText(cluster, text) : holdsText(cluster, text)));
  const showGallery = () => {
    const least = Number(form.least.value) || 1, text = form.text.value.trim().toLowerCase();
    const label = form.label ? form.label.value : "";
    const chosen = data.clusters.filter((cluster) => matches(cluster, least, label, text));
    const byOrder = orders[form.order.value];
    // A cluster whose number is asked for comes before those that hold a file of that name.
    chosen.sort((a, b) => Number(String(b.cluster) === text) - Number(String(a.cluster) === text) || byOrder(a, b) || a.cluster - b.cluster);
    find("#shown").textContent = `${count(chosen.length)} of ${count(data.clusters.length)} clusters`;
    pager(find("#pages"), chosen.length, CARDS_PER_PAGE, (first, end) => {
      gallery.replaceChildren(...chosen.slice(first, end).map((cluster) => card(rankOf.get(cluster.cluster))));
      if (first > 0) find("#clusters").scrollIntoView();
    });
  };
  form.addEventListener("input", showGallery);
  form.addEventListener("submit", (event) => event.preventDefault());
  showGallery();

  // ---- Dialogs.
  const clusterDialog = find("#cluster-dialog"), imageDialog = find("#image-dialog");
  const open = (dialog) => dialog.open || dialog.showModal();
  const saveList = (cluster) => {
    const quoted = (path) => `"${path.replaceAll('"', '""')}"`;
    const rows = data.paths.slice(cluster.first, cluster.first + cluster.size).map(quoted);
    const link = element("a", {
      href: URL.createObjectURL(new Blob([["path", ...rows, ""].join("\n")], { type: "text/csv" })),
      download: `cluster-${cluster.cluster}.csv`,
    });
    link.click();
  };
  const showCluster = (rank) => {
    const cluster = data.clusters[rank];
    find("h2", clusterDialog).textContent = `Cluster ${cluster.cluster}: ${images(cluster.size)}`;
    const facts = find(".facts", clusterDialog);
    facts.replaceChildren();
    const alikeness = alike(cluster);
    if (alikeness) facts.append(alikeness, " · ");
    if (cluster.labels.length) facts.append(mixInWords(cluster), " · ");
    facts.append("most typical first · ", element("button", { type: "button", className: "link", textContent: "save the list", onclick: () => saveList(cluster) }));
    pager(find(".pages", clusterDialog), cluster.size, THUMBS_PER_PAGE, (first, end) => {
      const shown = Array.from({ length: end - first }, (_, index) => thumb(cluster.first + first + index));
      find(".thumbs", clusterDialog).replaceChildren(...shown);
      clusterDialog.scrollTop = 0;
    });
    open(clusterDialog);
  };
  const encoded = (path) => path.split("/").map(encodeURIComponent).join("/");
  const showImage = (position) => {
    const cluster = data.clusters[clusterOf[position]];
    find("h2", imageDialog).textContent = data.paths[position];
    find(".large", imageDialog).replaceChildren(dress(element("div", { role: "img", ariaLabel: data.paths[position] }), position));
    const facts = find(".facts", imageDialog);
    facts.replaceChildren(
      element("button", { type: "button", className: "link", textContent: `cluster ${cluster.cluster}`, dataset: { cluster: cluster.cluster } }),
      `, ${position - cluster.first + 1} of ${count(cluster.size)} by how typical it is`,
      labelName(position) ? ` · label ${labelName(position)}` : "",
      ...(data.root === null ? [] : [
        " · ",
        element("a", { href: data.root + encoded(data.paths[position]), target: "_blank", textContent: "open the file" }),
      ]),
    );
    const near = similarTo(position);
    find("h3", imageDialog).hidden = near.length === 0;
    find(".thumbs", imageDialog).replaceChildren(...near.map((other) => thumb(other)));
    imageDialog.scrollTop = 0;
    open(imageDialog);
  };
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-image], [data-cluster], .close");
    if (event.target instanceof HTMLDialogElement) return void event.target.close();
    if (!target) return;
    if (target.dataset.image !== undefined) showImage(Number(target.dataset.image));
    else if (target.dataset.cluster !== undefined) {
      imageDialog.close();
      showCluster(rankOf.get(Number(target.dataset.cluster)));
    } else target.closest("dialog").close();
  });

  // ---- What lies farther down is made when it comes near, so that the page opens at once.
  const whenNear = (section, make) => {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      make();
    }, { rootMargin: "400px" });
    observer.observe(section);
  };

  // ---- Images that fit nowhere, and near-duplicates.
  const outliers = find("#outliers .thumbs");
  if (outliers) outliers.append(...data.outliers.map(([position]) => thumb(position)));
  const groups = find("#duplicates .groups");
  const group = (found) => {
    const kind = found.identical ? "identical files" : "nearly the same";
    return element("div", { className: "group" }, element("small", { textContent: `${found.images.length}, ${kind}` }), element("div", { className: "thumbs" }, ...found.images.slice(0, 24).map((position) => thumb(position))));
  };
  if (groups && !data.duplicates.length) groups.append(element("p", { textContent: "None were found." }));
  else if (groups) {
    whenNear(groups, () => pager(find("#duplicates .pages"), data.duplicates.length, GROUPS_PER_PAGE, (first, end) => {
      groups.replaceChildren(...data.duplicates.slice(first, end).map(group));
      if (first > 0) find("#duplicates").scrollIntoView();
    }));
  }

  // ---- The map.
  const canvas = find("#canvas");
  if (canvas && data.maps.length) {
    const pen = canvas.getContext("2d"), tip = find("#tip"), places = find("#places"), colours = find("#colours");
    data.maps.forEach((map, index) => places.append(element("option", { value: index, textContent: map.name })));
    const GRID = 64;
    let points = null, buckets = null, colourOf = null, groupsByColour = null, hovered = -1;
    const view = { scale: 1, x: 0, y: 0 };
    const numPoints = data.paths.length;
    const loadPlaces = () => {
      const raw = new Uint16Array(bytes(data.maps[Number(places.value)].places).buffer);
      points = Float32Array.from(raw, (value) => value / 65535);
      buckets = Array.from({ length: GRID * GRID }, () => []);
      for (let index = 0; index < numPoints; index++) {
        buckets[bucket(points[2 * index]) + GRID * bucket(points[2 * index + 1])].push(index);
      }
    };
    const bucket = (value) => Math.min(GRID - 1, Math.max(0, Math.floor(value * GRID)));
    const loadColours = () => {
      const byLabel = colours.value === "label";
      const table = byLabel ? labelColours : clusterColours;
      const key = (index) => (byLabel ? labelOf[index] : clusterOf[index]);
      groupsByColour = new Map([[OTHER, []]]);
      table.forEach((colour) => groupsByColour.set(colour, []));
      for (let index = 0; index < numPoints; index++) groupsByColour.get(table.get(key(index)) || OTHER).push(index);
      const name = (found) => (byLabel ? data.labels[found] : `cluster ${data.clusters[found].cluster}`);
      const entry = (colour, text) => element("span", {}, element("i", { style: { background: colour } }), text);
      const entries = [...table].map(([found, colour]) => entry(colour, name(found)));
      if (groupsByColour.get(OTHER).length) entries.push(entry(OTHER, "others"));
      find("#legend").replaceChildren(...entries);
    };
    const size = () => ({ width: canvas.clientWidth, height: canvas.clientHeight });
    const unit = () => Math.min(size().width, size().height) * 0.94 * view.scale;
    const toScreen = (index) => {
      const { width, height } = size(), length = unit();
      return [width / 2 + (points[2 * index] - 0.5) * length + view.x, height / 2 + (points[2 * index + 1] - 0.5) * length + view.y];
    };
    const draw = () => {
      if (!points) return;
      const density = window.devicePixelRatio || 1, { width, height } = size();
      if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
        canvas.width = Math.round(width * density);
        canvas.height = Math.round(height * density);
      }
      pen.setTransform(density, 0, 0, density, 0, 0);
      pen.clearRect(0, 0, width, height);
      const dot = Math.min(9, Math.max(numPoints > 20000 ? 1.4 : 2.6, 2 + Math.log2(view.scale) * 1.4));
      const fade = hovered >= 0 ? 0.25 : 0.8;
      const length = unit(), left = width / 2 + view.x - length / 2, top = height / 2 + view.y - length / 2;
      pen.globalAlpha = fade;
      groupsByColour.forEach((members, colour) => {
        pen.fillStyle = colour;
        for (const index of members) {
          const x = left + points[2 * index] * length, y = top + points[2 * index + 1] * length;
          if (x > -dot && y > -dot && x < width + dot && y < height + dot) pen.fillRect(x - dot / 2, y - dot / 2, dot, dot);
        }
      });
      pen.globalAlpha = 1;
      if (hovered >= 0) {
        const cluster = data.clusters[clusterOf[hovered]];
        pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent");
        for (let index = cluster.first; index < cluster.first + cluster.size; index++) {
          const [x, y] = toScreen(index);
          pen.fillRect(x - dot / 2 - 1, y - dot / 2 - 1, dot + 2, dot + 2);
        }
        const [x, y] = toScreen(hovered);
        pen.strokeStyle = pen.fillStyle;
        pen.lineWidth = 2;
        pen.beginPath();
        pen.arc(x, y, dot + 4, 0, 2 * Math.PI);
        pen.stroke();
      }
    };
    let isDrawing = false;
    const redraw = () => {
      if (isDrawing) return;
      isDrawing = true;
      requestAnimationFrame(() => {
        isDrawing = false;
        draw();
      });
    };
    const nearest = (x, y, reach) => {
      if (!points) return -1;
      const { width, height } = size(), length = unit();
      const dataX = (x - width / 2 - view.x) / length + 0.5, dataY = (y - height / 2 - view.y) / length + 0.5;
      const dataReach = reach / length;
      let best = -1, least = dataReach * dataReach;
      for (let row = bucket(dataY - dataReach); row <= bucket(dataY + dataReach); row++) {
        for (let column = bucket(dataX - dataReach); column <= bucket(dataX + dataReach); column++) {
          for (const index of buckets[column + GRID * row]) {
            const distance = (points[2 * index] - dataX) ** 2 + (points[2 * index + 1] - dataY) ** 2;
            if (distance < least) [best, least] = [index, distance];
          }
        }
      }
      return best;
    };
    const hover = (index) => {
      if (index === hovered || !points) return;
      hovered = index;
      tip.hidden = index < 0;
      if (index >= 0) {
        const [x, y] = toScreen(index), { width, height } = size();
        const cluster = data.clusters[clusterOf[index]].cluster;
        tip.replaceChildren(dress(element("div"), index), element("div", { textContent: data.paths[index] }), element("div", { textContent: `cluster ${cluster}` }));
        tip.style.left = `${Math.max(4, x + 160 > width ? x - 156 : x + 16)}px`;
        tip.style.top = `${Math.max(4, Math.min(y - 20, height - 220))}px`;
      }
      redraw();
    };
    const zoom = (factor, x, y) => {
      const { width, height } = size(), scale = Math.min(200, Math.max(0.5, view.scale * factor));
      const change = scale / view.scale, fromX = x - width / 2 - view.x, fromY = y - height / 2 - view.y;
      view.x -= fromX * (change - 1);
      view.y -= fromY * (change - 1);
      view.scale = scale;
      redraw();
    };
    const pointers = new Map();
    let moved = 0;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, at(event));
      moved = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event), before = pointers.get(event.pointerId);
      if (!before) return void (event.pointerType === "mouse" && hover(nearest(x, y, 14)));
      if (pointers.size === 2) {
        const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
        const apart = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]);
        zoom(apart([x, y]) / Math.max(1, apart(before)), (x + other[0]) / 2, (y + other[1]) / 2);
        moved = 99;
      } else {
        view.x += x - before[0];
        view.y += y - before[1];
        moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
        if (moved > 6) hover(-1);
        redraw();
      }
      pointers.set(event.pointerId, [x, y]);
    });
    const lift = (event) => {
      const wasDown = pointers.delete(event.pointerId);
      if (!wasDown || moved > 6 || event.type === "pointercancel") return;
      const index = nearest(...at(event), event.pointerType === "mouse" ? 14 : 26);
      // A finger shows an image first, and opens it when it is touched again.
      if (event.pointerType !== "mouse" && index !== hovered) hover(index);
      else if (index >= 0) showImage(index);
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hover(-1));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * 0.0015), ...at(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
      if (step) {
        [view.x, view.y] = [view.x + step[0], view.y + step[1]];
        event.preventDefault();
        redraw();
      } else if (event.key === "+" || event.key === "-") zoomAtCentre(event.key === "+" ? 1.4 : 1 / 1.4);
    });
    const zoomAtCentre = (factor) => zoom(factor, size().width / 2, size().height / 2);
    find("#closer").onclick = () => zoomAtCentre(1.4);
    find("#farther").onclick = () => zoomAtCentre(1 / 1.4);
    find("#whole").onclick = () => {
      Object.assign(view, { scale: 1, x: 0, y: 0 });
      redraw();
    };
    places.onchange = () => {
      hover(-1);
      loadPlaces();
      redraw();
    };
    colours.onchange = () => {
      loadColours();
      redraw();
    };
    whenNear(canvas, () => {
      loadPlaces();
      loadColours();
      new ResizeObserver(redraw).observe(canvas);
    });
  } else if (canvas) find("#map").hidden = true;

  // ---- Light and dark.
  find("#theme").onclick = () => {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
  };
})();
