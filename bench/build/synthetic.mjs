// Makes wheels that cost what real ones cost: half of each is text that deflate halves, half is noise.
// node bench/build/synthetic.mjs FOLDER COUNT TOTAL_MEGABYTES   writes COUNT wheels `syn-0001`... of equal size
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'

const [folder, count = '10', megabytes = '100'] = process.argv.slice(2)
if (folder === undefined) throw new TypeError('Say where the wheels go: FOLDER COUNT TOTAL_MEGABYTES')
mkdirSync(path.resolve(folder), { recursive: true })
const program = `
import base64, hashlib, os, random, sys, zipfile
# What is packed comes to this part of it.
folder, count, each = sys.argv[1], int(sys.argv[2]), int(float(sys.argv[3]) * 1e6 / int(sys.argv[2]) / 0.637)
def text(n, seed):
    words = random.Random(seed).choices([b'alpha ', b'beta ', b'gamma ', b'delta ', b'%d ' % seed], k=n // 5)
    return b''.join(words)[:n]
for n in range(1, count + 1):
    name = 'syn_%04d' % n
    with zipfile.ZipFile(os.path.join(folder, name + '-1.0-py3-none-any.whl'), 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        rows = []
        def add(path, data):
            info = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)); info.external_attr = 0o644 << 16; info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, data, compresslevel=1)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()
            rows.append('%s,sha256=%s,%d' % (path, digest, len(data)))
        rng, left, part = random.Random(n), each, 0
        add(name + '/__init__.py', b'')
        while left > 0:
            size = min(left, 64 << 20)
            half = size // 2
            add('%s/part%d.bin' % (name, part), text(half * 2, n * 1000 + part) + rng.randbytes(half))
            left, part = left - size, part + 1
        info = '%s-1.0.dist-info' % name
        add(info + '/METADATA', ('Metadata-Version: 2.1\\nName: %s\\nVersion: 1.0\\n' % name).encode())
        add(info + '/WHEEL', b'Wheel-Version: 1.0\\nGenerator: bench\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
        z.writestr(info + '/RECORD', '\\n'.join(rows + [info + '/RECORD,,']) + '\\n')
`
const { status } = spawnSync('python3', ['-c', program, path.resolve(folder), count, megabytes], { stdio: 'inherit' })
process.exitCode = status ?? 1
