package apiserver

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/archive"
	"stint/internal/recording"
)

// maxFrames bounds what a gateway or a host sends of a recording at once: a chunk of any
// size that one may have and some before it, as base64 in JSON.
const maxFrames = 4 << 20

// addFrameRoutes has the same calls for both that write recordings: who calls is known by a
// key of its own, and brings those of its own sessions alone.
func (s *Server) addFrameRoutes() {
	for _, x := range []struct {
		bring, have string // names of the routes
		who         who
		by, of, tag string
	}{
		{"bring-frames", "have-frames", gateway, "gateway", "the gateway's own sessions", "Gateways"},
		{"bring-host-frames", "have-host-frames", host, "host", "commands that the host ran", "Hosts"},
	} {
		at := "/v1/" + x.by + "/recordings/{id}"
		register(s, route{name: x.bring, method: post, path: at + "/frames", who: x.who, urgent: true, body: maxFrames, tag: x.tag,
			summary: "Take frames of a session's recording", detail: "Whole frames, in their order, of " + x.of + ". Those that are here are passed over; what does not follow is refused."}, s.bringFrames)
		register(s, route{name: x.have, method: get, path: at, who: x.who, urgent: true, tag: x.tag,
			summary: "How far a recording of the " + x.by + "'s is kept"}, s.haveFrames)
	}
}

// writer is who calls, as who writes recordings.
func writer(c call) archive.Writer {
	w := archive.Writer{Gateway: c.gateway, Key: ed25519.PublicKey(c.host.Key)}
	if w.Gateway == "" {
		w.Gateway = access.HostCarrier(c.host.Name)
	}
	return w
}

type bringFramesIn struct {
	ID   string `path:"id" maxLength:"64"`
	From uint64 `query:"from" doc:"The number of the first frame; 0: the head stands before the first"`
	Body api.RecordingFrames
}

func (s *Server) bringFrames(ctx context.Context, c call, in *bringFramesIn) (*reply[api.RecordingKept], error) {
	a, err := s.archived()
	if err != nil {
		return nil, err
	}
	k, err := a.Bring(ctx, writer(c), in.ID, in.From, in.Body.Frames)
	if err != nil {
		return nil, err
	}
	return answer(toKept(k)), nil
}

func (s *Server) haveFrames(ctx context.Context, c call, in *struct {
	ID string `path:"id" maxLength:"64"`
}) (*reply[api.RecordingKept], error) {
	a, err := s.archived()
	if err != nil {
		return nil, err
	}
	k, err := a.Have(ctx, writer(c), in.ID)
	if err != nil {
		return nil, err
	}
	return answer(toKept(k)), nil
}

func toKept(k recording.Kept) api.RecordingKept {
	out := api.RecordingKept{Began: k.Began, Frames: k.Frames, Done: k.Done}
	if k.Done {
		out.Bytes, out.SHA256 = k.Size, hex.EncodeToString(k.Digest[:])
	}
	return out
}
