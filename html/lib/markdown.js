// Markdown written by a model, as HTML that cannot run anything or call home.
//
// Three walls: markdown-it turns HTML in the text into text; DOMPurify lets through only the tags
// and attributes named here; the page's CSP and Trusted Types refuse what the first two might miss.

import MarkdownIt from '../vendor/markdown-it.js';
import DOMPurify from '../vendor/purify.js';
import { html, useLayoutEffect, useRef } from './preact.js';

const CLEAN = {
  ALLOWED_TAGS: [
    'a',
    'blockquote',
    'br',
    'code',
    'em',
    'h1',
    'h2',
    'h3',
    'h4',
    'h5',
    'h6',
    'hr',
    'img',
    'li',
    'ol',
    'p',
    'pre',
    's',
    'strong',
    'table',
    'tbody',
    'td',
    'th',
    'thead',
    'tr',
    'ul',
  ],
  ALLOWED_ATTR: ['alt', 'class', 'href', 'rel', 'src', 'start', 'target', 'title'],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_TRUSTED_TYPE: true,
};

const markdown = new MarkdownIt({ html: false, linkify: true });

// Alignment of table cells: a class, for style attributes are forbidden.
const drawCell = (tokens, i, options, env, self) => {
  const align = /text-align:(left|right|center)/.exec(tokens[i].attrGet('style') ?? '')?.[1];

  tokens[i].attrs = align ? [['class', `align-${align}`]] : null;
  return self.renderToken(tokens, i, options);
};
markdown.renderer.rules.th_open = drawCell;
markdown.renderer.rules.td_open = drawCell;

// A remote picture would tell its host who reads what: it becomes a link. Inline data stays.
const drawImage = markdown.renderer.rules.image;
markdown.renderer.rules.image = (tokens, i, options, env, self) => {
  const source = tokens[i].attrGet('src') ?? '';

  if (source.startsWith('data:')) return drawImage(tokens, i, options, env, self);
  const { escapeHtml } = markdown.utils;
  const text = self.renderInlineAsText(tokens[i].children ?? [], options, env) || source;
  return `<a class="picture" href="${escapeHtml(source)}">${escapeHtml(text)}</a>`;
};

DOMPurify.addHook('afterSanitizeAttributes', (element) => {
  if (element.tagName !== 'A') return;
  element.setAttribute('rel', 'noopener noreferrer');
  element.setAttribute('target', '_blank');
});

// Mathematics stays the text it is: in $…$ and \(…\) no underscore is an emphasis. A dollar is a price if there is a
// space inside of it or a digit after it. Bounded, so that a text of nothing but \( is no burden.
const MATH =
  /\$(?=\S)([^$\n]{0,500}[^$\s])\$(?!\d)|\$\$([^$]{1,2000})\$\$|\\\(([^\n]{1,500}?)\\\)|\\\[([^]{1,2000}?)\\\]/y;

markdown.inline.ruler.before('escape', 'math', (state, silent) => {
  MATH.lastIndex = state.pos;
  const found = MATH.exec(state.src);

  if (found === null) return false;
  if (!silent) state.push('math', 'code', 0).content = found.slice(1).find((text) => text !== undefined).trim();
  state.pos += found[0].length;
  return true;
});
markdown.renderer.rules.math = (tokens, i) =>
  `<code class="math">${markdown.utils.escapeHtml(tokens[i].content)}</code>`;

// `below` is the heading level the text stands under: its own headings start one deeper.
// `title`, if the text opens with a heading that says just that, is not said twice.
export function renderMarkdown(text, { below = 0, title = null } = {}) {
  const env = {};
  const tokens = markdown.parse(text, env);

  if (title !== null && tokens[0]?.tag === 'h1' && tokens[1]?.content.trim() === title.trim())
    tokens.splice(0, 3);
  for (const token of tokens) {
    if (/^heading_/.test(token.type)) token.tag = `h${Math.min(6, Number(token.tag[1]) + below)}`;
  }
  return DOMPurify.sanitize(markdown.renderer.render(tokens, markdown.options, env), CLEAN);
}

// `sections`: an h2 with what stands under it is a section, so that print can break between them.
export function Markdown({ text, below, title, sections = false }) {
  const element = useRef(null);

  useLayoutEffect(() => {
    element.current.innerHTML = renderMarkdown(text, { below, title });
    if (sections) gatherSections(element.current);
  }, [text, below, title, sections]);
  return html`<div class="prose" ref=${element}></div>`;
}

function gatherSections(prose) {
  let section = null;

  for (const node of [...prose.childNodes]) {
    if (node.nodeName === 'H2') {
      section = document.createElement('section');
      node.before(section);
    }
    section?.append(node);
  }
}
