// Runs in a world of its own: page scripts see neither these names nor the ids.
// Answers: settle() when the page is quiet, look() what there is, aim() where to point.
(() => {
  if (globalThis.agentgym) return;

  const ids = new WeakMap();
  const byId = new Map();
  let styles = new WeakMap();

  const SKIPPED = new Set(['SCRIPT', 'STYLE', 'TEMPLATE', 'NOSCRIPT', 'HEAD', 'LINK', 'META', 'TITLE',
    'DATALIST', 'SOURCE', 'TRACK', 'PARAM', 'DEFS', 'CLIPPATH', 'MASK', 'SYMBOL', 'DESC']);
  const INPUT_ROLES = {
    button: 'button', submit: 'button', reset: 'button', image: 'button', checkbox: 'checkbox',
    radio: 'radio', range: 'slider', number: 'spinbutton', search: 'searchbox',
    file: 'file', color: 'color', date: 'date', time: 'time', month: 'month', week: 'week',
    'datetime-local': 'datetime',
  };
  const TAG_ROLES = {
    BUTTON: 'button', TEXTAREA: 'textbox', H1: 'heading', H2: 'heading', H3: 'heading',
    H4: 'heading', H5: 'heading', H6: 'heading', IMG: 'image', UL: 'list', OL: 'list', MENU: 'list',
    LI: 'listitem', DL: 'list', DT: 'term', DD: 'definition', TABLE: 'table', TR: 'row',
    TD: 'cell', TH: 'columnheader', NAV: 'navigation', MAIN: 'main', DIALOG: 'dialog',
    SUMMARY: 'button', DETAILS: 'group', FIELDSET: 'group', FORM: 'form', PROGRESS: 'progressbar',
    METER: 'meter', HR: 'separator', IFRAME: 'iframe', FRAME: 'iframe', CANVAS: 'canvas',
    VIDEO: 'video', AUDIO: 'audio', OPTION: 'option', FIGURE: 'figure', ARTICLE: 'article',
    ASIDE: 'complementary', OUTPUT: 'status', SEARCH: 'search', SECTION: 'region',
  };
  const ROLES = new Set([...Object.values(TAG_ROLES), ...Object.values(INPUT_ROLES), 'link', 'textbox',
    'combobox', 'listbox', 'tab', 'tablist', 'tabpanel', 'menu', 'menubar', 'menuitem',
    'menuitemcheckbox', 'menuitemradio', 'radiogroup', 'switch', 'tree', 'treeitem', 'grid',
    'gridcell', 'rowheader', 'alert', 'alertdialog', 'banner', 'contentinfo', 'toolbar', 'tooltip',
    'scrollbar', 'log', 'timer', 'feed', 'treegrid', 'img', 'presentation', 'none']);
  // Named by what they contain, which then need not be shown again.
  const NAMED_BY_CONTENT = new Set(['button', 'link', 'heading', 'option', 'tab', 'menuitem',
    'menuitemcheckbox', 'menuitemradio', 'switch', 'treeitem', 'checkbox', 'radio', 'tooltip',
    'columnheader', 'rowheader', 'term', 'clickable']);
  // Say nothing without a name.
  const SILENT = new Set(['list', 'group', 'region', 'form', 'figure', 'article', 'presentation',
    'none', 'table', 'grid', 'tabpanel', 'search', 'tablist', 'menu', 'menubar', 'radiogroup']);
  // Named by their text where they hold nothing else.
  const FOLDED = new Set(['cell', 'gridcell', 'listitem', 'definition', 'alert', 'status', 'log',
    'timer', 'complementary', 'tooltip', 'figure']);
  const TEXT_INPUTS = new Set(['textbox', 'searchbox', 'spinbutton', 'date', 'time', 'month', 'week',
    'datetime', 'color']);
  const SHAPES = new Set(['circle', 'rect', 'ellipse', 'polygon', 'polyline', 'line', 'path', 'image']);
  const ICON_PIXELS = 40;
  const LONGEST_NAME = 200;
  const LONGEST_TEXT = 2000;
  const MOST_OPTIONS = 40;

  // A form named title would stand in for document.title.
  const titleOf = Object.getOwnPropertyDescriptor(Document.prototype, 'title').get;
  const tidy = (text) => text.replace(/\s+/g, ' ').trim();
  const cut = (text, most) => {
    const all = Array.from(text.slice(0, 2 * most + 2));
    return all.length > most ? all.slice(0, most).join('') + '…' : text;
  };

  const idOf = (element) => {
    let id = ids.get(element);
    if (id === undefined) {
      id = String(byId.size + 1);
      ids.set(element, id);
      byId.set(id, new WeakRef(element));
    }
    return id;
  };

  const styleOf = (element) => {
    let style = styles.get(element);
    if (style === undefined) {
      style = element.ownerDocument.defaultView.getComputedStyle(element);
      styles.set(element, style);
    }
    return style;
  };

  const documentIn = (frame) => {
    try {
      return frame.contentDocument;
    } catch {
      return null;
    }
  };

  const childrenOf = (element) => {
    if (element.shadowRoot) return element.shadowRoot.childNodes;
    if (element.tagName === 'SLOT') {
      const assigned = element.assignedNodes();
      return assigned.length ? assigned : element.childNodes;
    }
    if (element.tagName === 'DETAILS' && !element.open) {
      return Array.from(element.children).filter((child) => child.tagName === 'SUMMARY').slice(0, 1);
    }
    return element.childNodes;
  };

  const tagOf = (element) => element.tagName.toUpperCase();
  const isShape = (element) => element.ownerSVGElement != null && SHAPES.has(element.tagName);
  const isClosedSelect = (element) =>
    tagOf(element) === 'SELECT' && !element.multiple && element.size < 2;

  const isClickable = (element) => {
    if (element.hasAttribute('onclick') || element.getAttribute('draggable') === 'true') return true;
    if (element.tabIndex >= 0 && element.hasAttribute('tabindex')) return true;
    const cursor = styleOf(element).cursor;
    if (!['pointer', 'move', 'grab'].includes(cursor)) return false;
    const parent = element.parentElement;
    return !parent || styleOf(parent).cursor !== cursor;
  };

  const roleOf = (element) => {
    const given = (element.getAttribute('role') || '').toLowerCase().split(/\s+/)
      .find((role) => ROLES.has(role));
    if (given) return given === 'img' ? 'image' : given;
    const tag = tagOf(element);
    if (tag === 'A' || tag === 'AREA') return element.hasAttribute('href') ? 'link' : clickRole(element);
    if (tag === 'INPUT') return element.type === 'hidden' ? '' : INPUT_ROLES[element.type] || 'textbox';
    if (tag === 'SELECT') return isClosedSelect(element) ? 'combobox' : 'listbox';
    if (tag === 'IMG' && element.getAttribute('alt') === '') return clickRole(element);
    if (element.isContentEditable && !element.parentElement?.isContentEditable) return 'textbox';
    if (isShape(element)) return shapeRole(element);
    const implied = TAG_ROLES[tag] || '';
    if (!implied || SILENT.has(implied)) return clickRole(element) || implied;
    return implied;
  };

  const clickRole = (element) =>
    ['BODY', 'HTML', 'LABEL', 'svg'].includes(element.tagName) || !isClickable(element) ? '' : 'clickable';

  const shapeRole = (element) => {
    const { width, height } = element.ownerSVGElement.getBoundingClientRect();
    return Math.max(width, height) <= ICON_PIXELS ? '' : element.tagName;
  };

  const textOf = (node) => {
    if (node.nodeType === 3) return node.data;
    if (node.nodeType !== 1 || SKIPPED.has(tagOf(node))) return '';
    if (node.getAttribute('aria-hidden') === 'true') return '';
    const style = styleOf(node);
    if (style.display === 'none' || style.visibility === 'hidden') return '';
    const label = node.getAttribute('aria-label');
    if (label) return ` ${label} `;
    const tag = tagOf(node);
    if (tag === 'IMG' || (tag === 'INPUT' && node.type === 'image')) return ` ${node.alt || ''} `;
    if (tag === 'INPUT' || tag === 'SELECT' || tag === 'TEXTAREA') return ` ${valueOf(node, roleOf(node))} `;
    if (tag === 'BR') return ' ';
    const inside = Array.from(childrenOf(node), textOf).join('');
    return style.display.startsWith('inline') || style.display === 'contents' ? inside : ` ${inside} `;
  };

  const labelledBy = (element) => {
    const root = element.getRootNode();
    const named = (element.getAttribute('aria-labelledby') || '').split(/\s+/).filter(Boolean);
    return tidy(named.map((id) => root.getElementById?.(id)).filter(Boolean)
      .map((one) => one.getAttribute('aria-label') || one.textContent).join(' '));
  };

  const labelText = (label, control) => {
    // What a label says without the control that it may hold.
    const text = (node) => (node === control ? '' : node.nodeType === 1 && node.contains(control)
      ? Array.from(node.childNodes, text).join(' ') : textOf(node));
    return tidy(text(label));
  };

  const nativeName = (element, role) => {
    const tag = tagOf(element);
    if (tag === 'INPUT' && role === 'button') {
      if (element.type === 'image') return element.alt || element.value;
      return element.value || { submit: 'Submit', reset: 'Reset' }[element.type] || '';
    }
    if (element.labels?.length) {
      return Array.from(element.labels, (label) => labelText(label, element)).join(' ');
    }
    if (tag === 'IMG') return element.alt;
    if (tag === 'FIELDSET') return element.querySelector(':scope > legend')?.textContent || '';
    if (tag === 'TABLE') return element.caption?.textContent || '';
    if (tag === 'IFRAME') return element.title || '';
    if (isShape(element)) return element.querySelector(':scope > title')?.textContent || shapeName(element);
    return '';
  };

  const shapeName = (element) => {
    const style = styleOf(element);
    const paint = style.fill === 'none' ? style.stroke : style.fill;
    const box = element.getBoundingClientRect();
    return `${element.getAttribute('fill') || paint} ${Math.round(box.width)}x${Math.round(box.height)}`;
  };

  const nameOf = (element, role) => {
    let name = labelledBy(element) || tidy(element.getAttribute('aria-label') || '')
      || tidy(nativeName(element, role));
    if (!name && NAMED_BY_CONTENT.has(role)) name = tidy(textOf(element));
    if (!name) name = tidy(element.getAttribute('title') || '');
    if (!name) name = tidy(element.getAttribute('placeholder') || '');
    return cut(name, LONGEST_NAME);
  };

  const valueOf = (element, role) => cut(wholeValueOf(element, role), LONGEST_TEXT);

  const wholeValueOf = (element, role) => {
    const tag = tagOf(element);
    if (tag === 'SELECT') {
      return Array.from(element.selectedOptions, (one) => tidy(one.label)).join(', ');
    }
    if (tag === 'INPUT' && element.type === 'password') return '•'.repeat(element.value.length);
    if (tag === 'INPUT' && ['checkbox', 'radio', 'button', 'submit', 'reset', 'image'].includes(element.type)) return '';
    if (tag === 'INPUT' || tag === 'TEXTAREA') return element.value;
    if (tag === 'PROGRESS' || tag === 'METER') return String(element.value);
    if (element.isContentEditable && role === 'textbox') return tidy(element.innerText);
    return element.getAttribute('aria-valuetext') || element.getAttribute('aria-valuenow') || '';
  };

  const isDisabled = (element) => {
    if (element.matches(':disabled')) return true;
    return element.closest('[aria-disabled="true"]') !== null;
  };

  const focused = (element) => element.getRootNode().activeElement === element
    && tagOf(element) !== 'BODY' && tagOf(element) !== 'IFRAME';

  const statesOf = (element, role) => {
    const states = [];
    const aria = (name) => element.getAttribute(`aria-${name}`);
    const tag = tagOf(element);
    if (role === 'heading') states.push(`level ${aria('level') || tag.slice(1) || 2}`);
    if (element.indeterminate === true || aria('checked') === 'mixed') states.push('mixed');
    else if (element.checked === true || aria('checked') === 'true') states.push('checked');
    if ((tag === 'OPTION' && element.selected) || aria('selected') === 'true') states.push('selected');
    if (aria('pressed') === 'true') states.push('pressed');
    if (aria('current') && aria('current') !== 'false') states.push('current');
    const open = tag === 'SUMMARY' ? String(element.parentElement.open === true) : aria('expanded');
    if (open === 'true') states.push('expanded');
    if (open === 'false') states.push('collapsed');
    if (isDisabled(element)) states.push('disabled');
    if (element.readOnly === true && TEXT_INPUTS.has(role) || aria('readonly') === 'true') states.push('readonly');
    if (element.required === true || aria('required') === 'true') states.push('required');
    if (aria('invalid') && aria('invalid') !== 'false') states.push('invalid');
    if (focused(element)) states.push('focused');
    return states;
  };

  const inside = (box, clip) => box.right > clip.left && box.left < clip.right
    && box.bottom > clip.top && box.top < clip.bottom;

  const intersection = (one, other) => ({
    left: Math.max(one.left, other.left), top: Math.max(one.top, other.top),
    right: Math.min(one.right, other.right), bottom: Math.min(one.bottom, other.bottom),
  });

  const moved = (box, by) => ({
    left: box.left + by.x, top: box.top + by.y, right: box.right + by.x, bottom: box.bottom + by.y,
  });

  const round = (number) => Math.round(number * 10) / 10;
  const packed = (box) => [round(box.left), round(box.top), round(box.right - box.left), round(box.bottom - box.top)];

  class Walk {
    constructor(clip) {
      this.viewport = clip;
      this.found = [];
      this.hidden = 0;
      this.text = null;
      this.focus = null;
    }

    flush() {
      const text = this.text;
      this.text = null;
      if (!text) return;
      const name = tidy(text.parts.join(''));
      if (!name) return;
      if (!text.seen) this.hidden += 1;
      else this.found.push({ id: '', role: 'text', name: cut(name, LONGEST_TEXT), value: '', states: [], depth: text.depth, box: packed(text.box) });
    }

    addText(node, at) {
      if (!node.data.trim()) {
        if (this.text) this.text.parts.push(' ');
        return;
      }
      if (at.unseen || at.hush) return;
      const seen = at.whole || this.inSight(node, at);
      if (this.text && this.text.seen !== seen) this.flush();
      this.text ??= { parts: [], depth: at.depth, box: at.box, seen };
      this.text.parts.push(node.data);
    }

    inSight(node, at) {
      if (!inside(at.box, at.clip)) return false;
      const range = node.ownerDocument.createRange();
      range.selectNodeContents(node);
      return inside(moved(range.getBoundingClientRect(), at.offset), at.clip);
    }

    children(element, at) {
      for (const child of childrenOf(element)) {
        if (child.nodeType === 3) this.addText(child, at);
        else if (child.nodeType === 1) this.element(child, at);
      }
    }

    element(element, outer) {
      const tag = tagOf(element);
      if (SKIPPED.has(tag) || element.getAttribute('aria-hidden') === 'true') return;
      if (tag === 'BR') {
        if (this.text) this.text.parts.push(' ');
        return;
      }
      const style = styleOf(element);
      if (style.display === 'none') return;
      const at = this.place(element, style, outer);
      if (tag === 'LABEL' && this.namesControl(element)) at.hush = true;
      const role = roleOf(element);
      const inline = style.display.startsWith('inline') || style.display === 'contents';
      if (!inline) this.flush();
      if (tag === 'IFRAME' || tag === 'FRAME') this.frame(element, at);
      else if (!role) this.children(element, at);
      else this.named(element, role, at);
      if (!inline) this.flush();
    }

    place(element, style, outer) {
      const box = style.display === 'contents' ? outer.box
        : moved(element.getBoundingClientRect(), outer.offset);
      const base = style.position === 'fixed' ? outer.frame : outer.clip;
      const clips = style.overflowX !== 'visible' || style.overflowY !== 'visible';
      const root = ['BODY', 'HTML'].includes(element.tagName);
      const clip = clips && !root ? intersection(base, box) : base;
      const whole = box.top >= clip.top && box.bottom <= clip.bottom
        && box.left >= clip.left && box.right <= clip.right;
      const unseen = style.visibility !== 'visible';
      return { ...outer, box, clip, whole, unseen };
    }

    namesControl(label) {
      const control = label.control;
      return control != null && control.checkVisibility() && !control.hasAttribute('aria-label');
    }

    frame(element, at) {
      const page = documentIn(element);
      const left = at.box.left + element.clientLeft;
      const top = at.box.top + element.clientTop;
      const inner = { left, top, right: left + element.clientWidth, bottom: top + element.clientHeight };
      const clip = intersection(at.clip, inner);
      this.add(element, 'iframe', page?.body ? '' : 'of another site', at);
      if (!page?.body) return;
      this.children(page.documentElement,
        { ...at, depth: at.depth + 1, offset: { x: left, y: top }, clip, frame: clip });
      this.flush();
    }

    named(element, role, at) {
      const name = nameOf(element, role);
      if (SILENT.has(role) && !name) return this.children(element, at);
      this.flush();
      const added = this.add(element, role, name, at);
      const first = this.found.length;
      if (tagOf(element) === 'SELECT') return this.options(element, at);
      if (tagOf(element) === 'TEXTAREA' || (role === 'textbox' && added?.value)) return;
      const hidden = this.hidden;
      this.children(element, { ...at, depth: at.depth + 1 });
      this.flush();
      if (NAMED_BY_CONTENT.has(role)) this.dropSaid(first, hidden);
      else if (FOLDED.has(role) && added) this.fold(added, first);
    }

    dropSaid(first, hidden) {
      const kept = this.found.slice(first)
        .filter((one) => one.role !== 'text' && one.role !== 'image' && !SHAPES.has(one.role));
      this.found.length = first;
      this.found.push(...kept);
      this.hidden = hidden;
    }

    fold(added, first) {
      const below = this.found.slice(first);
      if (added.name || below.some((one) => one.role !== 'text')) return;
      added.name = cut(tidy(below.map((one) => one.name).join(' ')), LONGEST_TEXT);
      this.found.length = first;
    }

    options(select, at) {
      const closed = isClosedSelect(select);
      const all = Array.from(select.options).filter((one) => !one.hidden);
      for (const option of all.slice(0, MOST_OPTIONS)) {
        if (!inside(at.box, at.clip) || at.unseen) break;
        const states = statesOf(option, 'option');
        this.found.push({ id: closed ? '' : idOf(option), role: 'option', name: cut(tidy(option.label), LONGEST_TEXT), value: '',
          states, depth: at.depth + 1, box: packed(at.box) });
      }
      this.hidden += Math.max(0, all.length - MOST_OPTIONS);
    }

    add(element, role, name, at) {
      const empty = at.box.right <= at.box.left || at.box.bottom <= at.box.top;
      if (at.unseen || (empty && !element.children.length)) return null;
      if (!empty && !inside(at.box, at.clip)) {
        this.hidden += 1;
        return null;
      }
      if (role === 'cell' || role === 'listitem' || !empty || name) {
        const one = { id: idOf(element), role, name, value: valueOf(element, role),
          states: statesOf(element, role), depth: at.depth, box: packed(at.box) };
        this.found.push(one);
        if (one.states.includes('focused')) this.focus = one;
        return one;
      }
      return null;
    }
  }

  const viewportOf = () => ({ left: 0, top: 0, right: innerWidth, bottom: innerHeight });

  const look = ({ elements, chars, skip }) => {
    styles = new WeakMap();
    const clip = viewportOf();
    const walk = new Walk(clip);
    const box = clip;
    const at = { depth: 0, clip, frame: clip, box, offset: { x: 0, y: 0 }, whole: false, unseen: false, hush: false };
    if (document.body) walk.element(document.body, at);
    walk.flush();
    const rest = walk.found.slice(skip);
    let room = chars;
    let count = 0;
    while (count < rest.length && count < elements && room > 0) {
      room -= rest[count].name.length + rest[count].value.length + 12;
      count += 1;
    }
    return { url: location.href, title: cut(titleOf.call(document), LONGEST_NAME), elements: rest.slice(0, count),
      cut: rest.length - count, hidden: walk.hidden + walk.found.length - count, focus: walk.focus,
      below: document.documentElement.scrollHeight - innerHeight - scrollY > 1, above: scrollY > 0 };
  };

  const nextFrame = () => new Promise((done) => {
    const late = setTimeout(done, 100);
    requestAnimationFrame(() => { clearTimeout(late); setTimeout(done, 0); });
  });

  const animating = () => document.getAnimations().some((one) => {
    if (one.playState !== 'running' || !one.effect) return false;
    return one.effect.getComputedTiming().endTime < 2000;
  });

  const settle = async (quiet, load) => {
    const late = performance.now() + load;
    while (document.readyState !== 'complete' && performance.now() < late) await nextFrame();
    const until = performance.now() + quiet;
    let changed = false;
    const observer = new MutationObserver(() => { changed = true; });
    observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    let calm = 0;
    while (calm < 2 && performance.now() < until) {
      changed = false;
      await nextFrame();
      calm = changed || animating() ? 0 : calm + 1;
    }
    observer.disconnect();
    return calm >= 2;
  };

  const find = (id) => {
    const element = byId.get(id)?.deref();
    return element?.isConnected ? element : null;
  };

  const offsetOf = (element) => {
    const offset = { x: 0, y: 0 };
    let frame = element.ownerDocument.defaultView?.frameElement;
    while (frame) {
      const box = frame.getBoundingClientRect();
      offset.x += box.left + frame.clientLeft;
      offset.y += box.top + frame.clientTop;
      frame = frame.ownerDocument.defaultView?.frameElement;
    }
    return offset;
  };

  const hitAt = (x, y) => {
    let root = document;
    let hit = null;
    for (;;) {
      const next = root.elementFromPoint(x, y);
      if (!next || next === hit) return hit;
      hit = next;
      const page = ['IFRAME', 'FRAME'].includes(hit.tagName) ? documentIn(hit) : null;
      if (page) {
        const box = hit.getBoundingClientRect();
        x -= box.left + hit.clientLeft;
        y -= box.top + hit.clientTop;
        root = page;
      } else if (hit.shadowRoot) root = hit.shadowRoot;
      else return hit;
    }
  };

  const above = (node) => node.parentElement || node.getRootNode().host || null;
  const holds = (outer, node) => {
    for (let one = node; one; one = above(one)) if (one === outer) return true;
    return false;
  };

  const takes = (element, hit) => {
    if (!hit) return false;
    if (holds(element, hit)) return true;
    if (element.labels && Array.from(element.labels).some((label) => holds(label, hit))) return true;
    return false;
  };

  const pointsOf = (element) => {
    const boxes = Array.from(element.getClientRects()).filter((box) => box.width > 0 && box.height > 0);
    const spots = [[0.5, 0.5], [0.25, 0.25], [0.75, 0.75], [0.25, 0.75], [0.75, 0.25]];
    return boxes.slice(0, 4).flatMap((box) =>
      spots.map(([x, y]) => ({ x: box.left + x * box.width, y: box.top + y * box.height })));
  };

  const described = (element) => {
    for (let one = element; one; one = above(one)) {
      const role = one.nodeType === 1 ? roleOf(one) : '';
      if (role && !SILENT.has(role)) return `${role} ${JSON.stringify(nameOf(one, role))}`;
    }
    return tagOf(element).toLowerCase();
  };

  const aim = (id, { enabled, hit }) => {
    styles = new WeakMap();
    let element = find(id);
    if (!element) return { error: byId.has(id) ? 'gone' : 'unknown' };
    if (tagOf(element) === 'OPTION') element = element.closest('select') || element;
    if (!element.checkVisibility({ visibilityProperty: true })) return { error: 'invisible' };
    if (enabled && isDisabled(element)) return { error: 'disabled' };
    const offset = offsetOf(element);
    const clip = viewportOf();
    const visible = (point) => point.x + offset.x >= 0 && point.x + offset.x < clip.right
      && point.y + offset.y >= 0 && point.y + offset.y < clip.bottom;
    let points = pointsOf(element);
    if (!points.length) return { error: 'invisible' };
    const free = () => points.find((point) => visible(point)
      && (!hit || takes(element, hitAt(point.x + offset.x, point.y + offset.y))));
    let point = free();
    if (!point) {
      element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
      Object.assign(offset, offsetOf(element));
      points = pointsOf(element);
      point = free();
    }
    if (point) return { x: point.x + offset.x, y: point.y + offset.y };
    const covering = points.map((one) => hitAt(one.x + offset.x, one.y + offset.y)).find(Boolean);
    return covering ? { error: 'covered', by: described(covering) } : { error: 'outside' };
  };

  const changedByHand = (element) => {
    element.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
    element.dispatchEvent(new Event('change', { bubbles: true }));
  };

  const startFill = (id, text) => {
    const element = find(id);
    if (!element) return { error: byId.has(id) ? 'gone' : 'unknown' };
    const tag = tagOf(element);
    if (element.isContentEditable) {
      element.focus();
      element.ownerDocument.defaultView.getSelection().selectAllChildren(element);
      return { typed: true };
    }
    if (tag !== 'INPUT' && tag !== 'TEXTAREA') return { error: 'no_field' };
    const role = roleOf(element);
    const direct = tag === 'INPUT' && ['range', 'color', 'date', 'time', 'month', 'week', 'datetime-local'].includes(element.type);
    if (!direct && !TEXT_INPUTS.has(role) && !['combobox', 'spinbutton'].includes(role)) return { error: 'no_field' };
    if (element.readOnly) return { error: 'readonly' };
    element.focus();
    if (!direct) {
      element.select();
      return { typed: true };
    }
    const before = element.value;
    element.value = text;
    if (element.value !== text && element.type !== 'range' && element.type !== 'color') {
      element.value = before;
      return { error: 'malformed', kind: element.type };
    }
    changedByHand(element);
    return { typed: false };
  };

  const select = (id, wanted) => {
    let element = find(id);
    if (!element) return { error: byId.has(id) ? 'gone' : 'unknown' };
    if (tagOf(element) === 'OPTION') element = element.closest('select');
    if (!element || tagOf(element) !== 'SELECT') return { error: 'no_select' };
    if (isDisabled(element)) return { error: 'disabled' };
    const options = Array.from(element.options);
    if (wanted.length > 1 && !element.multiple) return { error: 'one_only' };
    const chosen = wanted.map((text) =>
      options.find((one) => tidy(one.label) === tidy(text)) || options.find((one) => one.value === text));
    const missing = chosen.findIndex((one) => !one);
    if (missing >= 0) {
      return { error: 'no_option', wanted: wanted[missing], options: options.map((one) => tidy(one.label)) };
    }
    const off = chosen.find((one) => isDisabled(one));
    if (off) return { error: 'option_disabled', wanted: tidy(off.label) };
    element.focus();
    for (const option of options) option.selected = chosen.includes(option);
    changedByHand(element);
    return {};
  };

  const scroller = (element) => {
    for (let one = element; one; one = above(one)) {
      const style = getComputedStyle(one);
      const scrolls = /auto|scroll|overlay/.test(style.overflowY + style.overflowX);
      if (scrolls && (one.scrollHeight > one.clientHeight || one.scrollWidth > one.clientWidth)) return one;
    }
    return document.scrollingElement;
  };

  const scroll = (id, direction) => {
    const element = id ? find(id) : null;
    if (id && !element) return { error: byId.has(id) ? 'gone' : 'unknown' };
    const target = element ? scroller(element) : document.scrollingElement;
    if (!target) return { error: 'no_scroll' };
    const height = target === document.scrollingElement ? innerHeight : target.clientHeight;
    const width = target === document.scrollingElement ? innerWidth : target.clientWidth;
    const [x, y] = { up: [0, -1], down: [0, 1], left: [-1, 0], right: [1, 0] }[direction];
    const before = [target.scrollLeft, target.scrollTop];
    target.scrollBy({ left: x * width * 0.8, top: y * height * 0.8, behavior: 'instant' });
    return before[0] === target.scrollLeft && before[1] === target.scrollTop ? { error: 'no_scroll' } : {};
  };

  const focus = (id) => {
    const element = find(id);
    if (!element) return { error: byId.has(id) ? 'gone' : 'unknown' };
    if (!element.checkVisibility({ visibilityProperty: true })) return { error: 'invisible' };
    element.focus();
    const active = element.getRootNode().activeElement;
    return active && holds(element, active) ? {} : { error: 'no_focus' };
  };

  const selected = () => {
    let page = document;
    for (let inner = page; inner; inner = documentIn(page.activeElement)) page = inner;
    const active = page.activeElement;
    if (active?.type === 'password') return { text: '' };
    const text = String(page.defaultView.getSelection());
    if (text) return { text };
    return { text: active?.selectionEnd > active?.selectionStart
      ? active.value.slice(active.selectionStart, active.selectionEnd) : '' };
  };

  const KEPT = ['id', 'name', 'type', 'href', 'value', 'alt', 'title', 'placeholder', 'for', 'role',
    'checked', 'selected', 'disabled'];

  const bare = (node) => {
    if (node.nodeType === 3) return node.data.replace(/\s+/g, ' ').replace(/&/g, '&amp;').replace(/</g, '&lt;');
    if (node.nodeType !== 1 || SKIPPED.has(tagOf(node))) return '';
    const tag = tagOf(node).toLowerCase();
    const kept = KEPT.filter((name) => node.hasAttribute(name))
      .map((name) => ` ${name}=${JSON.stringify(node.getAttribute(name))}`).join('');
    return `<${tag}${kept}>${Array.from(childrenOf(node), bare).join('')}</${tag}>`;
  };

  const html = (most) => cut(document.body ? bare(document.body) : '', most);

  globalThis.agentgym = { ping: () => true, look, settle, aim, startFill, select, scroll, focus, selected, html };
})();
