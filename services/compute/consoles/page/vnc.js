// The page that a browser opens a server's screen with. Its address holds `path`, the WebSocket with its one-time key on this very host.
import RFB from './novnc/core/rfb.js';

const state = document.getElementById('state');
const wanted = new URLSearchParams(location.search).get('path') ?? '';
// Whatever the path says, it stays on this host: a link may not lead the keyboard elsewhere.
const target = new URL(location.origin);
const [path, query = ''] = wanted.split('?');
target.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
target.pathname = path;
target.search = query;

const rfb = new RFB(document.getElementById('screen'), target.href, { wsProtocols: ['binary'] });
rfb.scaleViewport = true;
rfb.addEventListener('connect', () => { state.textContent = 'Connected'; rfb.focus(); });
rfb.addEventListener('disconnect', (event) => { state.textContent = event.detail.clean ? 'Disconnected' : 'The connection ended. The key of a console works once: ask for another one.'; });
rfb.addEventListener('desktopname', (event) => { document.title = event.detail.name; });
document.getElementById('keys').addEventListener('click', () => { rfb.sendCtrlAltDel(); rfb.focus(); });
