// logcheck checks a log in a directory with programs that are not ours: tessera's fsck, and the tlog and note packages of golang.org/x/mod.
//
//	logcheck DIRECTORY VERIFIER-KEY [CHECKPOINT-FILE ...]
//
// The checkpoints are such that the log has to have been. It prints one JSON object and ends with 0 when everything holds.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type result struct {
	Size       int64  `json:"size"`
	Records    int64  `json:"records"`
	Consistent int    `json:"consistent"`
	Fsck       string `json:"fsck"`
	Tlog       string `json:"tlog"`
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: logcheck DIRECTORY VERIFIER-KEY [CHECKPOINT-FILE ...]")
		os.Exit(2)
	}
	verifier, err := note.NewVerifier(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	found := result{Fsck: "holds", Tlog: "holds"}
	if err := fullCheck(os.Args[1], verifier); err != nil {
		found.Fsck = err.Error()
	}
	if err := proofs(os.Args[1], verifier, os.Args[3:], &found); err != nil {
		found.Tlog = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(found)
	if found.Fsck != "holds" || found.Tlog != "holds" {
		os.Exit(1)
	}
}

// fullCheck lets tessera derive every tile and the root from the entries.
func fullCheck(root string, verifier note.Verifier) error {
	hashes := func(bundle []byte) ([][]byte, error) {
		parsed := api.EntryBundle{}
		if err := parsed.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		all := make([][]byte, 0, len(parsed.Entries))
		for _, entry := range parsed.Entries {
			all = append(all, rfc6962.DefaultHasher.HashLeaf(entry))
		}
		return all, nil
	}
	return fsck.New(verifier.Name(), verifier, client.FileFetcher{Root: root}, hashes, fsck.Opts{N: 2}).Check(context.Background())
}

// proofs proves every record, and every checkpoint that is given, to golang.org/x/mod's own judgement.
func proofs(root string, verifier note.Verifier, checkpoints []string, found *result) error {
	tree, err := checkpoint(filepath.Join(root, "checkpoint"), verifier)
	if err != nil {
		return err
	}
	found.Size = tree.N
	reader := tlog.TileHashReader(tree, tiles{root})
	for first := int64(0); first < tree.N; first += layout.EntryBundleWidth {
		width := min(tree.N-first, layout.EntryBundleWidth)
		path := layout.EntriesPath(uint64(first/layout.EntryBundleWidth), uint8(width%layout.EntryBundleWidth))
		content, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return err
		}
		bundle := api.EntryBundle{}
		if err := bundle.UnmarshalText(content); err != nil {
			return err
		}
		for place, entry := range bundle.Entries {
			index := first + int64(place)
			proof, err := tlog.ProveRecord(tree.N, index, reader)
			if err != nil {
				return fmt.Errorf("record %d: %w", index, err)
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				return fmt.Errorf("record %d: %w", index, err)
			}
			found.Records++
		}
	}
	for _, path := range checkpoints {
		old, err := checkpoint(path, verifier)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		proof, err := tlog.ProveTree(tree.N, old.N, reader)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		found.Consistent++
	}
	return nil
}

func checkpoint(path string, verifier note.Verifier) (tlog.Tree, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(content, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(hash) != sha256.Size {
		return tlog.Tree{}, fmt.Errorf("not a root: %s", lines[2])
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(hash)}, nil
}

// tiles reads tiles as C2SP lays them out, for code that lays them out in another way.
type tiles struct{ root string }

func (t tiles) Height() int { return height }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, 0, len(wanted))
	for _, tile := range wanted {
		path := layout.TilePath(uint64(tile.L), uint64(tile.N), uint8(tile.W%(1<<height)))
		content, err := os.ReadFile(filepath.Join(t.root, path))
		if err != nil {
			return nil, err
		}
		all = append(all, content)
	}
	return all, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}
